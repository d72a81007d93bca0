//! Decoding header blocks.

use bytes::Bytes;

use super::input::{Input, Kind, Text};
use super::table::Table;
use super::{Field, Malformed, huffman};
use crate::limits::HPACK_SCRATCH_BYTES_KEPT;

/// The decoding side of one connection: its table follows the client's encoder block by block.
pub(crate) struct Decoder {
    pub(super) table: Table,
    table_bytes_max: usize,
    /// Where a Huffman coded string becomes plain, before a `Bytes` of its exact length is made.
    scratch: Vec<u8>,
}

impl Decoder {
    /// `table_bytes_max`: what our SETTINGS_HEADER_TABLE_SIZE says (4096 default); size updates above it are Malformed.
    pub(crate) fn new(table_bytes_max: usize) -> Self {
        Self {
            table: Table::new(table_bytes_max),
            table_bytes_max,
            scratch: Vec::new(),
        }
    }

    /// Decodes one whole block, calling `each` for every field in order. Size updates only at the beginning of a block.
    ///
    /// After an error the table no longer follows the client's: the connection is lost.
    pub(crate) fn decode(
        &mut self,
        block: &[u8],
        mut each: impl FnMut(&Field),
    ) -> Result<(), Malformed> {
        let mut input = Input::new(block);
        self.resize(&mut input)?;
        while let Some(kind) = input.kind() {
            let index = input.integer(kind.prefix_bits())?;
            match kind {
                Kind::Indexed => each(self.table.get(index).ok_or(Malformed)?),
                Kind::Passing => each(&self.literal(&mut input, index)?),
                Kind::Added => {
                    let field = self.literal(&mut input, index)?;
                    each(&field);
                    self.table.insert(field);
                }
                Kind::Resize => return Err(Malformed),
            }
        }
        if self.scratch.capacity() > HPACK_SCRATCH_BYTES_KEPT {
            self.scratch = Vec::new();
        }
        Ok(())
    }

    /// The size updates that a block may begin with: two when the size went down and up again since the last block.
    fn resize(&mut self, input: &mut Input) -> Result<(), Malformed> {
        while input.kind() == Some(Kind::Resize) {
            let bytes_max = input.integer(Kind::Resize.prefix_bits())?;
            if bytes_max > self.table_bytes_max {
                return Err(Malformed);
            }
            self.table.resize(bytes_max);
        }
        Ok(())
    }

    /// The rest of a literal, whose name has an index or, at index 0, stands before the value.
    fn literal(&mut self, input: &mut Input, index: usize) -> Result<Field, Malformed> {
        let name = match index {
            0 => self.plain(input.text()?)?,
            _ => self.table.get(index).ok_or(Malformed)?.name.clone(),
        };
        Ok(Field {
            name,
            value: self.plain(input.text()?)?,
        })
    }

    fn plain(&mut self, text: Text) -> Result<Bytes, Malformed> {
        if !text.huffman {
            return Ok(Bytes::copy_from_slice(text.coded));
        }
        self.scratch.clear();
        huffman::decode(text.coded, &mut self.scratch)?;
        Ok(Bytes::copy_from_slice(&self.scratch))
    }
}

/// True if decoding the block leaves any decoder's dynamic table as it is (only indexed fields and literals without
/// indexing or never indexed; no size update, no incremental indexing). So the same bytes mean the same fields as long
/// as only such blocks come in between. May say false for malformed blocks. A cheap scan, no decoding.
pub(crate) fn keeps_table(block: &[u8]) -> bool {
    scan(block).unwrap_or(false)
}

fn scan(block: &[u8]) -> Result<bool, Malformed> {
    let mut input = Input::new(block);
    while let Some(kind) = input.kind() {
        let index = input.integer(kind.prefix_bits())?;
        match kind {
            Kind::Indexed => {}
            Kind::Passing => {
                if index == 0 {
                    input.text()?;
                }
                input.text()?;
            }
            Kind::Added | Kind::Resize => return Ok(false),
        }
    }
    Ok(true)
}
