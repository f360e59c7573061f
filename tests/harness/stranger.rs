//! Other programs on the simulated disk: what they can do to a folder behind the server's back, one act at a time.
//!
//! An act is carried out whole between two steps of the server. A program that opens a file in place does so in four acts (find
//! it, open it, write, close), so that a test can put each of them at another step. Nothing here is random.

/// Which of several programs that hold a file open.
pub type Hand = u8;

/// One thing that another program does, whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// Writes a new file beside and renames it over the name, as editors do.
    Save { path: String, bytes: String },
    /// Makes a file, if the name is free.
    Create { path: String, bytes: String },
    /// Removes a name.
    Unlink { path: String },
    /// Renames, over whatever is there.
    Rename { from: String, to: String },
    /// Gives a file one more name, if that is free.
    Link { path: String, to: String },
    /// Changes the mode bits, which moves the ctime and nothing else.
    Chmod { path: String, mode: u32 },
    /// Makes a folder, if the name is free.
    MakeFolder { path: String },
    /// Walks the path to a file, the first half of opening it.
    Find { hand: Hand, path: String },
    /// Opens what was found for writing in place; waits while a lease is held.
    Open { hand: Hand },
    /// The same, but goes away rather than wait; the lease is broken all the same.
    OpenOrLeave { hand: Hand },
    /// Writes over the whole of what is open; waits with the opening.
    Write { hand: Hand, bytes: String },
    /// Closes it; waits with the opening.
    Close { hand: Hand },
    /// Both at once.
    WriteAndClose { hand: Hand, bytes: String },
}

/// A few acts that belong together, in their order.
#[derive(Clone, Debug)]
pub struct Script {
    /// What it is called in a trace.
    pub name: &'static str,
    /// The acts.
    pub acts: Vec<Act>,
}

impl Act {
    pub fn save(path: &str, bytes: &str) -> Self {
        Self::Save { path: path.to_owned(), bytes: bytes.to_owned() }
    }

    pub fn create(path: &str, bytes: &str) -> Self {
        Self::Create { path: path.to_owned(), bytes: bytes.to_owned() }
    }

    pub fn unlink(path: &str) -> Self {
        Self::Unlink { path: path.to_owned() }
    }

    pub fn rename(from: &str, to: &str) -> Self {
        Self::Rename { from: from.to_owned(), to: to.to_owned() }
    }

    pub fn link(path: &str, to: &str) -> Self {
        Self::Link { path: path.to_owned(), to: to.to_owned() }
    }

    pub fn find(hand: Hand, path: &str) -> Self {
        Self::Find { hand, path: path.to_owned() }
    }

    pub fn write(hand: Hand, bytes: &str) -> Self {
        Self::Write { hand, bytes: bytes.to_owned() }
    }
}

/// A write in place, in four acts.
pub fn write_in_place(hand: Hand, path: &str, bytes: &str) -> Vec<Act> {
    vec![Act::find(hand, path), Act::Open { hand }, Act::write(hand, bytes), Act::Close { hand }]
}

/// Wants to write, and leaves when he would have to wait: all he does is break a lease.
pub fn knock(path: &str) -> Script {
    Script { name: "knock", acts: vec![Act::find(0, path), Act::OpenOrLeave { hand: 0 }, Act::Close { hand: 0 }] }
}

/// The scripts that two strangers are walked through together: one act each, and a write in place in three.
pub fn short_scripts(path: &str, voice: &str) -> Vec<Script> {
    let hand = voice.bytes().next().unwrap_or(0);
    let bytes = format!("w{voice}");
    let write = vec![Act::find(hand, path), Act::Open { hand }, Act::WriteAndClose { hand, bytes }];
    let mut short: Vec<_> = scripts(path, voice).into_iter().filter(|script| script.acts.len() == 1).collect();
    short.push(Script { name: "write", acts: write });
    short
}

/// The scripts of the model (`ONE` there), against the file at `path`. `voice` tells the contents of two strangers apart.
///
/// `elsewhere` and `away` must be free names in the same folder.
pub fn scripts(path: &str, voice: &str) -> Vec<Script> {
    let (away, elsewhere) = (format!("{path}.away{voice}"), format!("{path}.link{voice}"));
    let text = |token: &str| format!("{token}{voice}");
    let (x, y, c, w, v) = (text("x"), text("y"), text("c"), text("w"), text("v"));
    let hand = voice.bytes().next().unwrap_or(0);
    let write = |bytes: &str| write_in_place(hand, path, bytes);
    let and = |one: Vec<Act>, other: Vec<Act>| [one, other].concat();
    let save = |bytes: &str| vec![Act::save(path, bytes)];
    let script = |name, acts| Script { name, acts };
    vec![
        script("save", save(&x)),
        script("save save", and(save(&x), save(&y))),
        script("write", write(&w)),
        script(
            "write or leave",
            vec![Act::find(hand, path), Act::OpenOrLeave { hand }, Act::write(hand, &w), Act::Close { hand }],
        ),
        script("unlink", vec![Act::unlink(path)]),
        script("unlink create", vec![Act::unlink(path), Act::create(path, &c)]),
        script("create", vec![Act::create(path, &c)]),
        script("away home", vec![Act::rename(path, &away), Act::rename(&away, path)]),
        script("away", vec![Act::rename(path, &away)]),
        script("away create", vec![Act::rename(path, &away), Act::create(path, &c)]),
        script("link", vec![Act::link(path, &elsewhere)]),
        script("save write", and(save(&x), write(&w))),
        script("write save", and(write(&w), save(&x))),
        script("write write", and(write(&w), write(&v))),
        script("chmod", vec![Act::Chmod { path: path.to_owned(), mode: 0o600 }]),
    ]
}
