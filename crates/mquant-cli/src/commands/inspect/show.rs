//! An inspection for people: equal blocks are one line.

use super::anatomy::{SiteRow, TowerRow};
use super::{Inspection, UnusedRow};
use crate::failure::Failure;
use crate::output::Output;

pub(super) fn show(inspection: &Inspection, output: &Output) -> Result<(), Failure> {
    let Inspection { components, towers, sites, images, .. } = inspection;
    output.text(&facts(inspection))?;
    let mut rows: Vec<Vec<String>> =
        components.iter().map(|c| vec![c.name.to_owned(), count(c.parameters), size(c.weights_bytes)]).collect();
    rows.push(vec!["total".to_owned(), count(inspection.parameters), size(inspection.weights_bytes)]);
    output.table(&["component", "parameters", "size"], rows)?;
    output.text("\n")?;
    let row = |t: &TowerRow| {
        let numbers = [t.blocks, t.features, t.heads, t.kv_heads, t.head_features];
        [vec![t.name.clone()], numbers.iter().map(usize::to_string).collect()].concat()
    };
    let headings = ["tower", "blocks", "features", "heads", "kv heads", "head features"];
    output.table(&headings, towers.iter().map(row).collect())?;
    output.text("\n")?;
    let headings = ["site", "times", "inputs", "outputs", "type", "parameters", "size"];
    output.table(&headings, groups(sites).iter().map(Group::row).collect())?;
    output.text("\n")?;
    let rows = images.iter().map(|image| {
        let [_, rows, columns] = image.grid;
        vec![format!("{}x{}", image.width, image.height), format!("{columns}x{rows}"), image.tokens.to_string()]
    });
    output.table(&["image", "patches", "tokens"], rows.collect())
}

fn facts(inspection: &Inspection) -> String {
    let Inspection { model, family, context, vocabulary, chat_template, tokenizer, end_tokens, .. } = inspection;
    let ends: Vec<String> = end_tokens.iter().map(u32::to_string).collect();
    format!(
        "model          {model}\nfamily         {family}\ncontext        {context} tokens\n\
         vocabulary     {vocabulary} rows, {} tokens in the tokenizer\nhead           {}\n\
         chat template  {}, {} bytes\nend tokens     {}\nweights        {} tensors in {}, {}\n{}\n",
        tokenizer.tokens,
        if inspection.head_tied { "tied to the embedding" } else { "its own" },
        chat_template.file,
        chat_template.source_bytes,
        if ends.is_empty() { "none".to_owned() } else { ends.join(", ") },
        inspection.tensors,
        if inspection.files == 1 { "1 file".to_owned() } else { format!("{} files", inspection.files) },
        size(inspection.stored_bytes),
        not_used(&inspection.unused),
    )
}

fn not_used(unused: &[UnusedRow]) -> String {
    let row = |row: &UnusedRow| format!("{}* ({} tensors, {})", row.prefix, row.tensors, size(row.stored_bytes));
    let rows: Vec<String> = unused.iter().map(row).collect();
    if rows.is_empty() { String::new() } else { format!("not used       {}\n", rows.join(", ")) }
}

/// Equal sites of blocks that follow each other.
#[derive(Debug)]
struct Group<'a> {
    first: &'a SiteRow,
    /// Index of the last block, where the site is one of a block.
    last: usize,
    times: u64,
}

impl Group<'_> {
    fn takes(&self, row: &SiteRow) -> bool {
        let (first, other) = (self.first.id, row.id);
        let follows = first.block_index().is_some() && other.block_index() == Some(self.last + 1);
        let shape = |r: &SiteRow| (r.inputs, r.outputs.clone(), r.dtype, r.parameters, r.weights_bytes);
        follows && (first.tower(), first.kind) == (other.tower(), other.kind) && shape(self.first) == shape(row)
    }

    fn row(&self) -> Vec<String> {
        let id = self.first.id;
        let name = match id.block_index() {
            Some(first) if self.last > first => format!("{}.{first}-{}.{}", id.tower(), self.last, id.kind),
            _ => id.to_string(),
        };
        let outputs: Vec<String> = self.first.outputs.iter().map(usize::to_string).collect();
        vec![
            name,
            self.times.to_string(),
            self.first.inputs.to_string(),
            outputs.join(" + "),
            self.first.dtype.to_owned(),
            count(self.first.parameters * self.times),
            size(self.first.weights_bytes * self.times),
        ]
    }
}

fn groups(sites: &[SiteRow]) -> Vec<Group<'_>> {
    let mut groups: Vec<Group<'_>> = Vec::new();
    for row in sites {
        let block = row.id.block_index().unwrap_or(0);
        match groups.iter_mut().find(|group| group.takes(row)) {
            Some(group) => {
                group.last = block;
                group.times += 1;
            }
            None => groups.push(Group { first: row, last: block, times: 1 }),
        }
    }
    groups
}

/// A whole number with its thousands apart.
fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(' ');
        }
        out.push(digit);
    }
    out
}

/// Bytes in the largest binary unit that leaves at least one.
fn size(bytes: u64) -> String {
    let units = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < units.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", units[unit])
}

#[cfg(test)]
mod tests {
    use super::*;
    use mquant::nn::{SiteId, SiteKind, Tower};

    #[test]
    fn numbers_are_readable() {
        assert_eq!([0, 999, 1000, 1_234_567].map(count), ["0", "999", "1 000", "1 234 567"]);
        assert_eq!(
            [0, 1023, 1024, 1536, 1 << 20, 5 << 30].map(size),
            ["0 B", "1023 B", "1.0 KiB", "1.5 KiB", "1.0 MiB", "5.0 GiB"]
        );
    }

    #[test]
    fn equal_blocks_are_one_line_and_others_are_not() {
        let site =
            |id, inputs| SiteRow { id, inputs, outputs: vec![4], dtype: "f32", parameters: 10, weights_bytes: 40 };
        let block = |i, kind| SiteId::block(Tower::Language, i, kind);
        let sites = [
            site(block(0, SiteKind::Qkv), 4),
            site(block(0, SiteKind::Down), 8),
            site(block(1, SiteKind::Qkv), 4),
            site(block(1, SiteKind::Down), 8),
            site(block(2, SiteKind::Qkv), 5),
            site(block(2, SiteKind::Down), 8),
            site(SiteId::HEAD, 4),
        ];
        let shown: Vec<(String, String)> =
            groups(&sites).iter().map(|g| (g.row()[0].clone(), g.row()[5].clone())).collect();
        let expected =
            [("language.0-1.qkv", "20"), ("language.0-2.down", "30"), ("language.2.qkv", "10"), ("head", "10")];
        assert_eq!(shown, expected.map(|(name, n)| (name.to_owned(), n.to_owned())));
    }
}
