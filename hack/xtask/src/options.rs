//! Options of a task: `--NAME VALUE`, all of them needed.

use crate::Failure;

pub struct Options<'a>(pub &'a [&'a str]);

impl<'a> Options<'a> {
    pub fn get(&self, name: &str) -> Result<&'a str, Failure> {
        let at = self.0.iter().position(|given| given.strip_prefix("--") == Some(name)).ok_or(Failure::Usage)?;
        self.0.get(at + 1).copied().ok_or(Failure::Usage)
    }

    pub fn number(&self, name: &str) -> Result<i64, Failure> {
        self.get(name)?.parse().map_err(|_| Failure::Usage)
    }

    /// `--most`, a number of bytes.
    pub fn most(&self) -> Result<usize, Failure> {
        self.get("most")?.parse().map_err(|_| Failure::Usage)
    }

    /// `--created`, seconds since 1970, as images and lists write it.
    pub fn created(&self) -> Result<String, Failure> {
        let created = jiff::Timestamp::from_second(self.number("created")?);
        Ok(created.map_err(|error| format!("--created: {error}"))?.to_string())
    }
}
