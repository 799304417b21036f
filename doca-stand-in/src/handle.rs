//! Objects by number. A number is given out once.

use std::collections::HashMap;
use std::ptr;

/// The objects of one kind.
#[derive(Debug)]
pub struct Handles<T> {
    kind: &'static str,
    objects: HashMap<usize, T>,
}

impl<T> Handles<T> {
    /// None yet.
    pub(crate) fn new(kind: &'static str) -> Self {
        Self { kind, objects: HashMap::new() }
    }

    /// Keeps an object under a new number, which looks like a pointer.
    pub fn insert<P>(&mut self, next: &mut usize, object: T) -> *mut P {
        *next += 0x1000;
        self.objects.insert(*next, object);
        ptr::without_provenance_mut(*next)
    }

    /// Keeps an object under an address of its own.
    pub(crate) fn insert_at(&mut self, address: usize, object: T) {
        self.objects.insert(address, object);
    }

    /// The object, which must be alive.
    pub fn get<P>(&mut self, handle: *const P) -> &mut T {
        let kind = self.kind;
        self.objects.get_mut(&handle.addr()).unwrap_or_else(|| dead(kind, handle.addr()))
    }

    /// Takes the object out, which must be alive.
    pub fn remove<P>(&mut self, handle: *const P) -> T {
        self.objects.remove(&handle.addr()).unwrap_or_else(|| dead(self.kind, handle.addr()))
    }

    /// Whether there is one of this number.
    pub fn contains(&self, number: usize) -> bool {
        self.objects.contains_key(&number)
    }

    /// How many are alive.
    pub fn count(&self) -> usize {
        self.objects.len()
    }
}

fn dead(kind: &str, number: usize) -> ! {
    give_up(&format!("{kind} {number:#x} is not alive: it was freed, or is something else"))
}

/// Ends the process for a mistake of the caller's.
pub(crate) fn give_up(mistake: &str) -> ! {
    eprintln!("doca-stand-in: {mistake}");
    std::process::abort()
}
