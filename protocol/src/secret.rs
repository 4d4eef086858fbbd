//! A value that is never printed and is overwritten when dropped.

use std::fmt;

use secrecy::{ExposeSecret, SecretBox};
use zeroize::Zeroize;

/// `secrecy`'s box with what we need of it.
///
/// A password is a `Secret<[u8]>` from the parser that first saw it to the
/// buffer that leaves for the remote.
pub struct Secret<T: Zeroize + ?Sized>(SecretBox<T>);

impl<T: Zeroize + ?Sized> Secret<T> {
    /// The value itself. The caller is responsible for where it goes.
    pub fn expose(&self) -> &T {
        self.0.expose_secret()
    }
}

impl Secret<[u8]> {
    /// A secret copy of `bytes`. The caller still owns, and should overwrite,
    /// the original.
    pub fn copy_from(bytes: &[u8]) -> Self {
        Self(SecretBox::new(Box::from(bytes)))
    }
}

impl From<Vec<u8>> for Secret<[u8]> {
    /// Copies into a box of the exact size and overwrites the vector, spare
    /// capacity included: shrinking it in place could leave a copy behind.
    fn from(mut bytes: Vec<u8>) -> Self {
        let secret = Self::copy_from(&bytes);
        bytes.zeroize();
        secret
    }
}

impl Clone for Secret<[u8]> {
    fn clone(&self) -> Self {
        Self::copy_from(self.expose())
    }
}

impl<T: Zeroize + ?Sized> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_never_printed() {
        let secret = Secret::from(b"hunter2".to_vec());
        assert_eq!(
            format!("{secret:?} {:?}", Some(&secret)),
            "[secret] Some([secret])"
        );
        assert_eq!(secret.clone().expose(), b"hunter2");
    }
}
