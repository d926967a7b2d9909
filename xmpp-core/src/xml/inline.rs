/// A short list: the first `N` entries live in place, only more of them cost an allocation.
pub(crate) struct Inline<T, const N: usize> {
    here: [T; N],
    len: usize,
    more: Vec<T>,
}

impl<T: Copy + Default, const N: usize> Inline<T, N> {
    pub(crate) fn new() -> Self {
        Inline {
            here: [T::default(); N],
            len: 0,
            more: Vec::new(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    #[inline]
    pub(crate) fn push(&mut self, value: T) {
        match self.here.get_mut(self.len) {
            Some(slot) => *slot = value,
            None => self.spill(value),
        }
        self.len += 1;
    }

    /// Once there are more, all of them are in one place, so that they can be lent as one slice.
    #[cold]
    fn spill(&mut self, value: T) {
        if self.more.is_empty() {
            self.more.extend_from_slice(&self.here);
        }
        self.more.push(value);
    }

    #[inline]
    pub(crate) fn pop(&mut self) -> Option<T> {
        let last = self.as_slice().last().copied()?;
        self.truncate(self.len - 1);
        Some(last)
    }

    #[inline]
    pub(crate) fn truncate(&mut self, len: usize) {
        if len < self.len {
            if self.len > N {
                self.more.truncate(len);
                if len <= N {
                    self.here[..len].copy_from_slice(&self.more);
                    self.more.clear();
                }
            }
            self.len = len;
        }
    }

    #[inline]
    pub(crate) fn as_slice(&self) -> &[T] {
        if self.len > N {
            &self.more
        } else {
            &self.here[..self.len]
        }
    }

    pub(crate) fn last_mut(&mut self) -> Option<&mut T> {
        if self.len > N {
            self.more.last_mut()
        } else {
            self.here[..self.len].last_mut()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Inline;

    #[test]
    fn behaves_like_a_vec_on_both_sides_of_the_border() {
        let (mut list, mut model) = (Inline::<u32, 3>::new(), Vec::new());
        for (i, step) in "++++-++-----+++++t+-+".chars().enumerate() {
            match step {
                '+' => {
                    list.push(i as u32);
                    model.push(i as u32);
                }
                '-' => assert_eq!(list.pop(), model.pop()),
                _ => {
                    list.truncate(2);
                    model.truncate(2);
                }
            }
            assert_eq!(list.as_slice(), &model);
            assert_eq!(list.len(), model.len());
            assert_eq!(list.last_mut(), model.last_mut());
        }
    }
}
