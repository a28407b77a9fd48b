//! The house rules over this workspace.

#[cfg(test)]
mod dependencies;
#[cfg(test)]
mod texts;
#[cfg(test)]
mod workspace;
