//! What every client is asked to do, and the names it is asked to do it with. After each step the server's disk must hold exactly
//! what the client was given; whatever was written over, moved over or deleted must be in the history and come back from there.

use super::Served;

/// Names that clients and servers get wrong. No two of them are one name in another form, so they can lie side by side.
pub const NAMES: &[&str] = &[
    "plain.txt",
    "with two  spaces.txt",
    "# hash.txt",
    "50% of %41.txt",
    "this & that &amp; more.txt",
    "one + one.txt",
    "why?.txt",
    "<angle> 'single' \"double\".txt",
    "semi;colon:comma,equals=at@bang!.txt",
    "[square] {curly} (round) $5 ^~.txt",
    "#%&+? all of them.txt",
    "Z\u{fc}rich.txt",
    "Ko\u{308}ln.txt",
    "\u{65e5}\u{672c}\u{8a9e}.txt",
    "\u{1f980} and \u{1f469}\u{200d}\u{1f4bb}.txt",
];

/// Names for folders: the worst of them.
const FOLDERS: &[&str] = &["#%&+? folder", "\u{dc}mlaut", "u\u{308}mlaut in two", "\u{1f4c1} of mine"];

/// A client, as its user sees it. Paths begin at the share and have no slash at either end; a step that the client says
/// it could not do fails the test.
pub trait Drive {
    /// Makes a folder.
    fn make_folder(&mut self, path: &str);
    /// Writes a file, over whatever is there.
    fn write(&mut self, path: &str, content: &[u8]);
    /// Reads a file.
    fn read(&mut self, path: &str) -> Vec<u8>;
    /// The names in a folder, in any order.
    fn names(&mut self, path: &str) -> Vec<String>;
    /// Gives a file or a folder another name, over whatever file is there.
    fn rename(&mut self, from: &str, to: &str);
    /// Removes a file.
    fn remove(&mut self, path: &str);
    /// Removes a folder with all that is in it.
    fn remove_folder(&mut self, path: &str);
}

/// Takes a client through everything with every name.
#[track_caller]
pub fn work_out(drive: &mut dyn Drive, served: &Served) {
    work_out_without(drive, served, |_| false);
}

/// Takes a client through everything with every name that has none of these characters, which it cannot say to any server.
#[track_caller]
pub fn work_out_without(drive: &mut dyn Drive, served: &Served, unsayable: impl Fn(char) -> bool + Copy) {
    let sayable = |names: &[&'static str]| {
        names.iter().copied().filter(|name| !name.contains(unsayable)).collect::<Vec<&'static str>>()
    };
    let (names, folders) = (sayable(NAMES), sayable(FOLDERS));
    let names = names.as_slice();
    drive.make_folder("desk");
    drive.make_folder("shelf");
    served.expect_names("", &["desk", "shelf"]);
    for name in names {
        create_read_overwrite(drive, served, &format!("desk/{name}"));
    }
    served.expect_names("desk", names);
    expect_listed(drive, "desk", names);
    for name in names {
        rename_and_move_over(drive, served, name);
    }
    served.expect_names("desk", &[]);
    served.expect_names("shelf", names);
    for name in names {
        delete_and_restore(drive, served, &format!("shelf/{name}"));
    }
    for name in folders {
        fill_and_rename_a_folder(drive, served, name);
    }
    served.expect_names("", &["desk", "shelf"]);
}

/// Takes a client through the first part alone: a file is created, read, and written over.
#[track_caller]
pub fn create_read_overwrite(drive: &mut dyn Drive, served: &Served, path: &str) {
    let (first, second) = (format!("first of {path}\n"), format!("the second of {path}, a little longer\r\n\0"));
    drive.write(path, first.as_bytes());
    served.expect(path, first.as_bytes());
    assert_read(drive, path, first.as_bytes());
    drive.write(path, second.as_bytes());
    served.expect(path, second.as_bytes());
    assert_read(drive, path, second.as_bytes());
    served.expect_kept(path, first.as_bytes());
}

#[track_caller]
fn rename_and_move_over(drive: &mut dyn Drive, served: &Served, name: &str) {
    let [old, renamed, target] = [format!("desk/{name}"), format!("desk/new {name}"), format!("shelf/{name}")];
    let moved = served.read(&old);
    drive.rename(&old, &renamed);
    served.expect(&renamed, &moved);
    served.expect_gone(&old);
    let in_the_way = format!("in the way at {target}");
    drive.write(&target, in_the_way.as_bytes());
    served.expect(&target, in_the_way.as_bytes());
    drive.rename(&renamed, &target);
    served.expect(&target, &moved);
    served.expect_gone(&renamed);
    assert_read(drive, &target, &moved);
    served.expect_kept(&target, in_the_way.as_bytes());
}

#[track_caller]
fn delete_and_restore(drive: &mut dyn Drive, served: &Served, path: &str) {
    let content = served.read(path);
    drive.remove(path);
    served.expect_gone(path);
    served.expect_kept(path, &content);
    served.restore(path, &content);
}

#[track_caller]
fn fill_and_rename_a_folder(drive: &mut dyn Drive, served: &Served, name: &str) {
    let renamed = format!("shelf/{name} again");
    drive.make_folder(name);
    drive.make_folder(&format!("{name}/{name}"));
    drive.write(&format!("{name}/{name}/deep {name}.txt"), name.as_bytes());
    served.expect(&format!("{name}/{name}/deep {name}.txt"), name.as_bytes());
    drive.rename(name, &renamed);
    let deep = format!("{renamed}/{name}/deep {name}.txt");
    served.expect(&deep, name.as_bytes());
    served.expect_gone(name);
    assert_read(drive, &deep, name.as_bytes());
    drive.remove_folder(&renamed);
    served.expect_gone(&renamed);
}

#[track_caller]
fn assert_read(drive: &mut dyn Drive, path: &str, content: &[u8]) {
    let read = drive.read(path);
    let (read, wanted) = (String::from_utf8_lossy(&read), String::from_utf8_lossy(content));
    assert_eq!(read, wanted, "what the client reads from {path}");
}

#[track_caller]
fn expect_listed(drive: &mut dyn Drive, folder: &str, names: &[&str]) {
    let mut listed = drive.names(folder);
    let mut wanted: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    listed.sort();
    wanted.sort();
    assert_eq!(listed, wanted, "what the client lists in {folder}");
}
