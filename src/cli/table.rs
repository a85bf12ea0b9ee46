//! Lays out tables as Docker does: by default a column has at least ten characters, and at least
//! three spaces separate two columns.
//!
//! One string holds all cells, and a list holds the index of each cell's end. So a cell without a
//! colour needs no allocation of its own.

use super::style::Style;

const PADDING: usize = 3;
const MIN_WIDTH: usize = 10;

/// A table that is filled row by row.
pub struct Table {
    columns: usize,
    min_width: usize,
    text: String,
    ends: Vec<usize>,
    /// The painted cells in order: the index of the cell, and its style.
    styles: Vec<(usize, Style)>,
}

impl Table {
    /// Returns a table whose first row is `headers`.
    pub fn new<'a>(headers: impl IntoIterator<Item = &'a str>) -> Table {
        Table::with_width(MIN_WIDTH, headers)
    }

    /// Like `new`, with columns of at least `min_width` characters.
    pub fn with_width<'a>(min_width: usize, headers: impl IntoIterator<Item = &'a str>) -> Table {
        let (text, ends, styles) = (String::new(), Vec::new(), Vec::new());
        let mut table = Table { columns: 0, min_width, text, ends, styles };
        for header in headers {
            table.cell(|text| text.push_str(header));
            table.columns += 1;
        }
        table
    }

    /// Appends the next cell. Cells fill the table row by row.
    pub fn cell(&mut self, write: impl FnOnce(&mut String)) {
        write(&mut self.text);
        self.ends.push(self.text.len());
    }

    /// Paints the last cell, which must not contain control characters.
    pub fn paint(&mut self, style: Style) {
        self.styles.push((self.ends.len() - 1, style));
    }

    /// Returns the table as text, with aligned columns.
    pub fn render(&self) -> String {
        let mut cells = Vec::with_capacity(self.ends.len());
        let mut start = 0;
        for &end in &self.ends {
            let cell = &self.text[start..end];
            cells.push((cell, cell.chars().count()));
            start = end;
        }
        let mut widths = vec![self.min_width; self.columns];
        for row in cells.chunks(self.columns.max(1)) {
            for (width, (_, length)) in widths.iter_mut().zip(row) {
                *width = (*width).max(length + PADDING);
            }
        }
        let rows = self.ends.len() / self.columns.max(1);
        let mut out = String::with_capacity(rows * (widths.iter().sum::<usize>() + 8));
        let mut styles = self.styles.iter().peekable();
        for (number, row) in cells.chunks(self.columns.max(1)).enumerate() {
            for (at, (cell, length)) in row.iter().enumerate() {
                match styles.next_if(|(painted, _)| *painted == number * self.columns + at) {
                    Some((_, style)) => out.push_str(&style.paint(cell, true)),
                    None => out.push_str(cell),
                }
                // The last column needs no padding.
                if at + 1 < row.len() {
                    out.extend(std::iter::repeat_n(' ', widths[at] - length));
                }
            }
            out.push('\n');
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_by_characters() {
        let mut table = Table::new(["ID", "NAME", "X"]);
        for cell in ["1", "a name that is long", "x", "22", "né…", ""] {
            table.cell(|text| text.push_str(cell));
        }
        assert_eq!(
            table.render(),
            "ID        NAME                  X\n\
             1         a name that is long   x\n\
             22        né…                   \n"
        );
    }

    #[test]
    fn colours_do_not_widen_a_column() {
        let mut table = Table::new(["ID", "NAME"]);
        table.cell(|text| text.push('1'));
        table.paint(Style::Red);
        table.cell(|text| text.push('x'));
        assert_eq!(table.render(), "ID        NAME\n\x1b[31m1\x1b[0m         x\n");
    }

    #[test]
    fn a_table_without_rows_is_its_headers() {
        assert_eq!(Table::new(["A", "B"]).render(), "A         B\n");
    }
}
