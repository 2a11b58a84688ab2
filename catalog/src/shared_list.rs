//! Shared lists: lists whose versions share what did not change between them.
//!
//! A commit adds one batch to a list of thousands, and whoever reads the snapshot before it keeps the list that was there:
//!
//!     before   [ chunk 0 ][ chunk 1 ] … [ tail     ]
//!     after    [ chunk 0 ][ chunk 1 ] … [ tail + 1 ]      the chunks are the same, the tail is copied
//!
//! So adding an item costs as much as a chunk has items, however long the list is, and now and then a copy of the pointers to its
//! chunks. An item that is replaced or removed costs those pointers and its own chunk. No chunk is empty; what is removed
//! leaves its chunk shorter.

use std::iter::{Chain, FlatMap};
use std::slice;
use std::sync::Arc;

#[cfg(test)]
mod tests;

/// The items of a full chunk: few enough to be copied for each one that is added, so many that the chunks of 100,000 items are few.
const CHUNK_ITEMS_MAX: usize = 32;

/// A list whose clones cost two pointers.
#[derive(Clone, Debug)]
pub struct SharedList<T> {
    chunks: Arc<Vec<Arc<Vec<T>>>>,
    /// What comes behind the chunks.
    tail: Arc<Vec<T>>,
    length: usize,
}

/// The items of a list, in order.
pub type Items<'a, T> = Chain<
    FlatMap<slice::Iter<'a, Arc<Vec<T>>>, slice::Iter<'a, T>, fn(&'a Arc<Vec<T>>) -> slice::Iter<'a, T>>,
    slice::Iter<'a, T>,
>;

/// A list from one of its items on.
#[derive(Debug)]
pub struct Rest<'a, T> {
    list: &'a SharedList<T>,
    start: usize,
}

impl<T> Default for SharedList<T> {
    fn default() -> Self {
        Self { chunks: Arc::default(), tail: Arc::default(), length: 0 }
    }
}

impl<T> SharedList<T> {
    pub fn len(&self) -> usize {
        self.length
    }

    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    pub fn iter(&self) -> Items<'_, T> {
        let items: fn(&Arc<Vec<T>>) -> slice::Iter<'_, T> = |chunk| chunk.iter();
        self.chunks.iter().flat_map(items).chain(self.tail.iter())
    }

    pub fn first(&self) -> Option<&T> {
        self.iter().next()
    }

    pub fn last(&self) -> Option<&T> {
        self.tail.last().or_else(|| self.chunks.last()?.last())
    }

    pub fn get(&self, index: usize) -> Option<&T> {
        let (chunk, offset) = self.place_of(index)?;
        self.chunks.get(chunk).unwrap_or(&self.tail).get(offset)
    }

    /// Whether both are the same version of the same list. Equal items do not make them so.
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.chunks, &other.chunks) && Arc::ptr_eq(&self.tail, &other.tail)
    }

    /// The items from the first one on that does not come before; those that do stand in front.
    pub fn rest(&self, mut comes_before: impl FnMut(&T) -> bool) -> Rest<'_, T> {
        let whole = self.chunks.partition_point(|chunk| chunk.last().is_some_and(&mut comes_before));
        let start: usize = self.chunks[..whole].iter().map(|chunk| chunk.len()).sum();
        let chunk = self.chunks.get(whole).unwrap_or(&self.tail);
        Rest { list: self, start: start + chunk.partition_point(comes_before) }
    }

    /// The items of two versions behind those that they share from the beginning.
    pub fn unshared<'a>(&'a self, other: &'a Self) -> (impl Iterator<Item = &'a T>, impl Iterator<Item = &'a T>) {
        let pairs = self.chunks.iter().zip(other.chunks.iter());
        let chunks = pairs.take_while(|(own, others)| Arc::ptr_eq(own, others)).count();
        let is_all = chunks == self.chunks.len() && self.is_same(other);
        let behind = move |list: &'a Self| {
            let items = list.chunks[chunks..].iter().flat_map(|chunk| chunk.iter());
            items.chain(list.tail.iter()).take(if is_all { 0 } else { usize::MAX })
        };
        (behind(self), behind(other))
    }

    /// The chunk of an item, where the tail counts as the last one, and the item's place in it.
    fn place_of(&self, index: usize) -> Option<(usize, usize)> {
        let mut offset = index;
        for (number, chunk) in self.chunks.iter().enumerate() {
            if offset < chunk.len() {
                return Some((number, offset));
            }
            offset -= chunk.len();
        }
        (offset < self.tail.len()).then_some((self.chunks.len(), offset))
    }
}

impl<T: Clone> SharedList<T> {
    pub fn push(&mut self, item: T) {
        if self.tail.len() >= CHUNK_ITEMS_MAX {
            let full = std::mem::take(&mut self.tail);
            Arc::make_mut(&mut self.chunks).push(full);
        }
        match Arc::get_mut(&mut self.tail) {
            Some(tail) => tail.push(item),
            None => {
                let mut copied = Vec::with_capacity(CHUNK_ITEMS_MAX);
                copied.extend_from_slice(&self.tail);
                copied.push(item);
                self.tail = Arc::new(copied);
            }
        }
        self.length += 1;
    }

    pub fn pop(&mut self) -> Option<T> {
        if self.tail.is_empty() {
            self.tail = Arc::make_mut(&mut self.chunks).pop()?;
        }
        let popped = Arc::make_mut(&mut self.tail).pop();
        self.length -= usize::from(popped.is_some());
        popped
    }

    /// Puts another item in the place of one.
    ///
    /// # Panics
    /// Where there is no item at that place.
    pub fn set(&mut self, index: usize, item: T) {
        let (chunk, offset) = self.place_of(index).expect("a place inside of the list");
        match Arc::make_mut(&mut self.chunks).get_mut(chunk) {
            Some(chunk) => Arc::make_mut(chunk)[offset] = item,
            None => Arc::make_mut(&mut self.tail)[offset] = item,
        }
    }

    /// Removes the item at a place.
    ///
    /// # Panics
    /// Where there is no item at that place.
    pub fn remove(&mut self, index: usize) -> T {
        let (number, offset) = self.place_of(index).expect("a place inside of the list");
        self.length -= 1;
        if number == self.chunks.len() {
            return Arc::make_mut(&mut self.tail).remove(offset);
        }
        let chunks = Arc::make_mut(&mut self.chunks);
        let removed = Arc::make_mut(&mut chunks[number]).remove(offset);
        if chunks[number].is_empty() {
            chunks.remove(number);
        }
        removed
    }

    /// Keeps only some of the items. Chunks that keep all of theirs stay shared.
    pub fn retain(&mut self, keeps: impl Fn(&T) -> bool) {
        let mut chunks: Vec<Arc<Vec<T>>> = Vec::with_capacity(self.chunks.len());
        for chunk in self.chunks.iter() {
            if chunk.iter().all(&keeps) {
                chunks.push(Arc::clone(chunk));
                continue;
            }
            let kept: Vec<T> = chunk.iter().filter(|item| keeps(item)).cloned().collect();
            match chunks.last_mut() {
                _ if kept.is_empty() => {}
                Some(last) if last.len() + kept.len() <= CHUNK_ITEMS_MAX => Arc::make_mut(last).extend(kept),
                _ => chunks.push(Arc::new(kept)),
            }
        }
        if !self.tail.iter().all(&keeps) {
            self.tail = Arc::new(self.tail.iter().filter(|item| keeps(item)).cloned().collect());
        }
        self.length = chunks.iter().map(|chunk| chunk.len()).sum::<usize>() + self.tail.len();
        self.chunks = Arc::new(chunks);
    }
}

impl<T> FromIterator<T> for SharedList<T> {
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
        let mut items = items.into_iter().peekable();
        let (mut chunks, mut length) = (Vec::new(), 0);
        loop {
            let chunk: Vec<T> = items.by_ref().take(CHUNK_ITEMS_MAX).collect();
            length += chunk.len();
            if items.peek().is_none() {
                return Self { chunks: Arc::new(chunks), tail: Arc::new(chunk), length };
            }
            chunks.push(Arc::new(chunk));
        }
    }
}

impl<'a, T> IntoIterator for &'a SharedList<T> {
    type Item = &'a T;
    type IntoIter = Items<'a, T>;

    fn into_iter(self) -> Items<'a, T> {
        self.iter()
    }
}

impl<T> Clone for Rest<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Rest<'_, T> {}

impl<'a, T> Rest<'a, T> {
    /// How many items of the list stand before.
    pub fn start(self) -> usize {
        self.start
    }

    pub fn len(self) -> usize {
        self.list.len() - self.start
    }

    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    pub fn iter(self) -> std::iter::Skip<Items<'a, T>> {
        self.list.iter().skip(self.start)
    }
}

impl<'a, T> IntoIterator for Rest<'a, T> {
    type Item = &'a T;
    type IntoIter = std::iter::Skip<Items<'a, T>>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}
