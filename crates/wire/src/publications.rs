//! Publications of rules and limits: how an operator sends one, how the ledger keeps its files, and how it is shown.

use std::collections::BTreeMap;

use cashgate_withdrawal::refusal::Refusal;
use prost::Message;

use crate::fields::{invalid, text};
use crate::proto::journal::v1 as journal;
use crate::proto::operations::v1 as pb;
use crate::proto::operations::v1::publish_rules_request::Part;

/// The most bytes that the files of one publication may have, names included.
pub const FILES_BYTES_MAX: usize = 240 * 1024;

/// The longest name of a file, in bytes.
const NAME_BYTES_MAX: usize = 128;

/// The longest part of a file in one message, in bytes: with all around it, it fits into the largest message that a port takes.
const PART_BYTES_MAX: usize = 12 * 1024;

/// The files of a publication, by name.
pub type Files = BTreeMap<String, Vec<u8>>;

/// A publication as it comes, part by part.
#[derive(Debug, Default)]
pub struct Incoming {
    about: Option<(String, Option<u64>)>,
    files: Files,
    bytes: usize,
}

impl Incoming {
    /// Takes the next message.
    ///
    /// # Errors
    /// [`Refusal::FieldInvalid`]: it is out of place, too much, or has no meaning.
    pub fn take(&mut self, message: pb::PublishRulesRequest) -> Result<(), Refusal> {
        match (message.part, self.about.is_some()) {
            (None, _) => Err(invalid("part", "is missing")),
            (Some(Part::Publishing(_)), true) => Err(invalid("publishing", "comes once")),
            (Some(Part::File(_)), false) => Err(invalid("publishing", "must come first")),
            (Some(Part::Publishing(pb::Publishing { note, after })), false) => {
                self.about = Some((text("publishing.note", note, 0..=512)?, after));
                Ok(())
            }
            (Some(Part::File(file)), true) => self.take_file(file),
        }
    }

    fn take_file(&mut self, file: pb::PublishedFile) -> Result<(), Refusal> {
        let pb::PublishedFile { name, content } = file;
        check_name(&name)?;
        let known = self.files.contains_key(&name);
        self.bytes += content.len() + if known { 0 } else { name.len() };
        if self.bytes > FILES_BYTES_MAX {
            return Err(invalid("file", format!("all files together have more than {FILES_BYTES_MAX} bytes")));
        }
        self.files.entry(name).or_default().extend_from_slice(&content);
        Ok(())
    }

    /// Note, the publication that it is to follow if it matters, and the files.
    ///
    /// # Errors
    /// [`Refusal::FieldInvalid`]: the stream ended before anything came.
    pub fn whole(self) -> Result<(String, Option<u64>, Files), Refusal> {
        let (note, after) = self.about.ok_or_else(|| invalid("publishing", "is missing"))?;
        Ok((note, after, self.files))
    }
}

/// A name that is one in every folder and means nothing more.
fn check_name(name: &str) -> Result<(), Refusal> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    let is_kind = name.ends_with(".cedar") || name.ends_with(".cases.toml") || name == "limits.toml";
    if name.len() > NAME_BYTES_MAX || !name.chars().all(plain) || name.starts_with('.') || !is_kind {
        let of = "*.cedar, *.cases.toml or limits.toml, in letters, digits, '.', '-' and '_'";
        return Err(invalid("file.name", format!("{name:?} is not the name of a file of a publication: {of}")));
    }
    Ok(())
}

/// A publication as an operator sends it.
#[must_use]
pub fn parts(note: &str, after: Option<u64>, files: &Files) -> Vec<pb::PublishRulesRequest> {
    let part = |part| pb::PublishRulesRequest { part: Some(part) };
    let mut parts = vec![part(Part::Publishing(pb::Publishing { note: note.to_owned(), after }))];
    for (name, content) in files {
        let whole = if content.is_empty() { vec![&[][..]] } else { content.chunks(PART_BYTES_MAX).collect() };
        let of = |content: &[u8]| pb::PublishedFile { name: name.clone(), content: content.to_vec() };
        parts.extend(whole.into_iter().map(|content| part(Part::File(of(content)))));
    }
    parts
}

/// Files as the ledger keeps them.
#[must_use]
pub fn encode(files: &Files) -> Vec<u8> {
    let files =
        files.iter().map(|(name, content)| journal::PublicationFile { name: name.clone(), content: content.clone() });
    journal::Publication { files: files.collect() }.encode_to_vec()
}

/// Files out of the ledger.
///
/// # Errors
/// The bytes are no publication.
pub fn decode(body: &[u8]) -> Result<Files, Refusal> {
    let publication = journal::Publication::decode(body).map_err(|error| invalid("publication", error))?;
    Ok(publication.files.into_iter().map(|file| (file.name, file.content)).collect())
}

/// Files as an operator is shown them.
#[must_use]
pub fn files_to(files: Files) -> Vec<pb::PublishedFile> {
    files.into_iter().map(|(name, content)| pb::PublishedFile { name, content }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files() -> Files {
        [("a.cedar", vec![7; 30_000]), ("limits.toml", Vec::new()), ("b.cases.toml", b"[[case]]".to_vec())]
            .map(|(name, content)| (name.to_owned(), content))
            .into()
    }

    #[test]
    fn a_publication_comes_as_it_was_sent_in_parts_that_fit() {
        let parts = parts("a wave", Some(7), &files());
        assert_eq!(parts.len(), 1 + 3 + 1 + 1);
        assert!(parts.iter().all(|part| part.encoded_len() < 16 * 1024));
        let mut incoming = Incoming::default();
        parts.into_iter().for_each(|part| incoming.take(part).unwrap());
        assert_eq!(incoming.whole().unwrap(), ("a wave".to_owned(), Some(7), files()));
        assert_eq!(decode(&encode(&files())).unwrap(), files());
        assert!(decode(b"\xff").is_err());
    }

    #[test]
    fn what_is_out_of_place_or_too_much_is_refused() {
        let about = || pb::PublishRulesRequest {
            part: Some(Part::Publishing(pb::Publishing { note: "why".into(), after: None })),
        };
        let file = |name: &str, bytes: usize| pb::PublishRulesRequest {
            part: Some(Part::File(pb::PublishedFile { name: name.into(), content: vec![0; bytes] })),
        };
        let nothing = pb::PublishRulesRequest { part: None };
        let long = pb::Publishing { note: "x".repeat(513), after: None };
        let long = pb::PublishRulesRequest { part: Some(Part::Publishing(long)) };
        let rows: [(Vec<pb::PublishRulesRequest>, &str); 9] = [
            (vec![nothing], "part"),
            (vec![long], "publishing.note"),
            (vec![file("a.cedar", 1)], "publishing"),
            (vec![about(), about()], "publishing"),
            (vec![about(), file("a.cedar", FILES_BYTES_MAX)], "file"),
            (vec![about(), file("../a.cedar", 1)], "file.name"),
            (vec![about(), file("notes.txt", 1)], "file.name"),
            (vec![about(), file(".cedar", 1)], "file.name"),
            (vec![], "publishing"),
        ];
        for (messages, field) in rows {
            let mut incoming = Incoming::default();
            let taken = messages.into_iter().try_for_each(|message| incoming.take(message));
            assert_eq!(taken.and_then(|()| incoming.whole().map(drop)).unwrap_err().factor(), field);
        }
    }
}
