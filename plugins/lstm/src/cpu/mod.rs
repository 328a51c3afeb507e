//! The kernels of the fast path: reading on CPUs, by vectors of lanes.
//!
//! ```text
//! lanes.rs      a unit is three strips of 16 lanes; a lane reads document after document
//!                 step -> 0   1   2   3   4   5 ...
//!                 lane 0  the cat sat .   a   dog         | = a document begins: the lane's state is cleared
//!                 lane 1  on |one two three   .   |and
//!
//! table.rs      the first layer's input by token id: [token][neuron, GATE_SUMS]
//!                       | gathered, a row a lane
//!                       v
//! layer.rs      gate_sums  [strip][neuron, GATE_SUMS, lane]   += W_hh h (and W_ih x)      panels.rs
//!                       | gates, in registers, neuron by neuron
//!                       v
//!               hidden, cell  [strip][neuron, lane]    moments  [strip][neuron][h, |h|, h^2][lane]    top  [strip][lane]
//!
//! panels.rs     weights, packed once: [block of inputs][neuron][input of the block][gate]
//!               a tile, in registers: the gates of one neuron x a strip, summed over the inputs of a block in their order
//!
//! alone.rs      a lane left without company: vectors across neurons, [tile of 16 neurons][input][gate][neuron of the tile]
//!
//! workspace.rs  all of that for one thread, kept from unit to unit
//! kernel.rs     products of whole matrices (training), vectorised functions; the only `unsafe`
//! ```
//!
//! An element is one chain of fused multiply-adds in the order of the inputs: its bits depend on nothing beside it. What all of
//! it means, `network.rs` says.

pub(crate) mod alone;
pub(crate) mod kernel;
pub(crate) mod lanes;
pub(crate) mod layer;
pub(crate) mod panels;
pub(crate) mod table;
pub(crate) mod workspace;
