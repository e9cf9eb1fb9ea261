//! Ways in which a test breaks merging on purpose, to see that its safeguards and the tests find it out.

use crate::store::Inner;

/// A fault in merging that a test asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(not(feature = "fault-injection"), expect(unreachable_pub, reason = "public for tests only"))]
pub enum Sabotage {
    /// The first row of a merge is not written.
    LoseARow,
    /// What was written is not read back and compared.
    TrustTheOutput,
    /// The files of the inputs are deleted before the commit that takes them out of the manifest.
    DeleteBeforeTheCommit,
}

#[cfg(feature = "fault-injection")]
impl crate::store::Store {
    /// Breaks merging in these ways from now on.
    pub fn sabotage(&self, how: &[Sabotage]) {
        how.clone_into(
            &mut self.inner().upkeep.broken.lock().unwrap_or_else(std::sync::PoisonError::into_inner),
        );
    }
}

impl Inner {
    /// Whether a test wants merging broken in this way.
    #[cfg(feature = "fault-injection")]
    pub(crate) fn is_broken(&self, how: Sabotage) -> bool {
        self.upkeep.broken.lock().unwrap_or_else(std::sync::PoisonError::into_inner).contains(&how)
    }

    /// Whether a test wants merging broken in this way.
    #[cfg(not(feature = "fault-injection"))]
    #[expect(clippy::unused_self, reason = "the same signature as under test")]
    pub(crate) const fn is_broken(&self, _how: Sabotage) -> bool {
        false
    }
}
