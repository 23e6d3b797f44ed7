//! `enforce xdp` between two network namespaces of the test's own. Needs root; what cannot run says so loudly.

mod box_and_host;
mod errors;
mod frames;
mod let_through;
mod reload;
