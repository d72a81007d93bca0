//! What a client offers, for the line that says why nothing of it was taken.

/// The parts of a ClientHello that are told.
#[derive(Default, PartialEq, Eq, Debug)]
pub(crate) struct Hello {
    pub(crate) server_name: String,
    pub(crate) versions: Vec<u16>,
    pub(crate) suites: Vec<u16>,
    pub(crate) protocols: Vec<String>,
}

/// Versions that a client of this one speaks, as Go takes it, newest first.
const VERSIONS: [u16; 4] = [0x0304, 0x0303, 0x0302, 0x0301];

impl Hello {
    /// Of a connection's first bytes; what is not there, or not whole, is told as nothing.
    pub(crate) fn read(first: &[u8]) -> Self {
        let mut hello = Self::default();
        // The rest stays as it is where something is missing.
        let _incomplete = hello.fill(first);
        hello
    }

    /// Whether it has no version that TLS is served by.
    pub(crate) fn is_too_old(&self) -> bool {
        const TLS_1_2: u16 = 0x0303;
        !self.versions.is_empty() && self.versions.iter().all(|it| *it < TLS_1_2)
    }

    fn fill(&mut self, first: &[u8]) -> Option<()> {
        const RECORD_HEAD: usize = 5;
        const MESSAGE_HEAD: usize = 4;
        const RANDOM: usize = 32;
        const CLIENT_HELLO: u8 = 1;
        if *first.get(RECORD_HEAD)? != CLIENT_HELLO {
            return None;
        }
        let mut body = Reader(first.get(RECORD_HEAD + MESSAGE_HEAD..)?);
        let version = body.number()?;
        self.versions = VERSIONS.into_iter().filter(|it| *it <= version).collect();
        body.take(RANDOM)?;
        body.short()?;
        self.suites = numbers(body.long()?);
        body.short()?;
        let mut extensions = Reader(body.long()?);
        while let Some(kind) = extensions.number() {
            self.extension(kind, Reader(extensions.long()?));
        }
        Some(())
    }

    fn extension(&mut self, kind: u16, mut data: Reader<'_>) -> Option<()> {
        const SERVER_NAME: u16 = 0;
        const PROTOCOLS: u16 = 16;
        const VERSIONS: u16 = 43;
        match kind {
            SERVER_NAME => {
                let mut names = Reader(data.long()?);
                names.take(1)?;
                self.server_name = text(names.long()?);
            }
            PROTOCOLS => {
                let mut names = Reader(data.long()?);
                while let Some(name) = names.short() {
                    self.protocols.push(text(name));
                }
            }
            VERSIONS => self.versions = numbers(data.short()?),
            _ => {}
        }
        Some(())
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn numbers(bytes: &[u8]) -> Vec<u16> {
    let pairs = bytes.chunks_exact(2);
    pairs.map(|it| u16::from_be_bytes([it[0], it[1]])).collect()
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, bytes: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(bytes)?;
        self.0 = rest;
        Some(taken)
    }

    fn number(&mut self) -> Option<u16> {
        Some(numbers(self.take(2)?)[0])
    }

    /// What is behind a length of one byte.
    fn short(&mut self) -> Option<&'a [u8]> {
        let bytes = self.take(1)?[0];
        self.take(usize::from(bytes))
    }

    /// What is behind a length of two bytes.
    fn long(&mut self) -> Option<&'a [u8]> {
        let bytes = self.number()?;
        self.take(usize::from(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hello(versions: &[u8]) -> Vec<u8> {
        let mut extensions = vec![0, 0, 0, 6, 0, 4, 0, 0, 1, b'a'];
        extensions.extend([0, 16, 0, 6, 0, 4, 3, b'f', b'o', b'o']);
        if !versions.is_empty() {
            let bytes = versions.len() as u8;
            extensions.extend([0, 43, 0, bytes + 1, bytes]);
            extensions.extend(versions);
        }
        let mut body = vec![3, 2];
        body.extend([7; 32]);
        body.extend([0, 0, 4, 0xc0, 0x23, 0, 0xff, 1, 0]);
        body.extend((extensions.len() as u16).to_be_bytes());
        body.extend(extensions);
        let mut record = vec![
            0x16,
            3,
            1,
            0,
            body.len() as u8 + 4,
            1,
            0,
            0,
            body.len() as u8,
        ];
        record.extend(body);
        record
    }

    #[test]
    fn what_a_client_offers_is_read() {
        let read = Hello::read(&hello(&[]));
        let expected = Hello {
            server_name: "a".to_owned(),
            versions: vec![0x0302, 0x0301],
            suites: vec![0xc023, 0xff],
            protocols: vec!["foo".to_owned()],
        };
        assert_eq!(read, expected);
        assert_eq!(
            Hello::read(&hello(&[3, 4, 3, 3])).versions,
            [0x0304, 0x0303]
        );
    }

    #[test]
    fn what_is_cut_off_is_told_as_far_as_it_came() {
        let whole = hello(&[3, 4]);
        for end in 0..whole.len() {
            let cut = Hello::read(&whole[..end]);
            assert!(cut.suites.len() <= 2);
        }
        assert_eq!(Hello::read(b"GET / HTTP/1.1"), Hello::default());
    }
}
