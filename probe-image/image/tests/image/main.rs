//! The image from outside: what is in the archive, and what a registry gets.

mod archive;
mod push;
mod registry;

use verdikt_image::{Agent, Image, at_hand};

/// The agent that is built in. Without one every test here would prove nothing.
fn embedded() -> Agent {
    let mut agents = at_hand(&[], None, &[]).expect("an agent is built in");
    agents.remove(0)
}

/// The built-in agent with another machine type in its header: enough for an image, though nothing runs it.
fn foreign() -> Agent {
    const E_MACHINE: usize = 18;
    let mut binary = embedded().binary().to_vec();
    binary[E_MACHINE] = if binary[E_MACHINE] == 62 { 183 } else { 62 };
    Agent::new(binary).expect("only its machine type has changed")
}

fn one() -> Image {
    Image::new(&[embedded()], "1.2.3")
}

fn two() -> Image {
    let mut agents = [embedded(), foreign()];
    agents.sort_by_key(Agent::architecture);
    Image::new(&agents, "1.2.3")
}
