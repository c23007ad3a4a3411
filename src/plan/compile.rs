//! stub
use super::*;
/// A compiled plan.
#[derive(Debug)]
pub struct Plan;
impl Plan {
    /// x
    pub fn hash(&self) -> &str {
        ""
    }
    /// x
    pub fn spec(&self) -> &spec::PlanSpec {
        unimplemented!()
    }
    /// x
    pub fn parameters(&self, _given: &Parameters) -> Result<Parameters, Vec<Mistake>> {
        unimplemented!()
    }
}
