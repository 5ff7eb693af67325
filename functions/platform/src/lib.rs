//! What the functions stand on: AWS, Lambda, and the database servers that they log in to.
//!
//! [`aws`] configures every client of AWS, [`answer`] refuses what is not a whole answer, and [`error`] says what went wrong
//! with a call; [`rds`] is the one API that both functions read. Nothing here decides what a function does.

pub mod answer;
pub mod aws;
pub mod error;
pub mod rds;
