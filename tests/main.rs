//! One binary for all tests of behaviour; each file below tells the stories of one behaviour.

mod transport;
