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

impl Plan {
    /// x
    pub fn next(&self, _inputs: &Inputs<'_>, _seen: &Observations) -> Next { unimplemented!() }
}
/// x
pub fn compile(_name: &str, _spec: &spec::PlanSpec) -> Result<Plan, Vec<Mistake>> { unimplemented!() }
