//! What can be wrong with a Parquet table.

use crate::shown::{list, shortened};

/// What is wrong with a Parquet table.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TableFault {
    /// Another file.
    #[error(
        "no Parquet table, by how it begins; read lines of text by `kind = \"text\"`, and rows between tabs by `kind = \"tsv\"`"
    )]
    NotParquet,
    /// A table without its end.
    #[error("it ends in the middle: it was cut short; get the whole of it again")]
    CutShort,
    /// A table that cannot be read.
    #[error("it cannot be read ({}); get it again, or write it anew", shortened(reason))]
    Broken {
        /// What the reader says of it.
        reason: String,
    },
    /// A table without the column that an option names.
    #[error("no column '{}'; it has {}", shortened(column), list(found))]
    Column {
        /// The column that was asked for.
        column: String,
        /// Those there are.
        found: Vec<String>,
    },
    /// A table of which nothing says where the text is.
    #[error("which column has the text? name it by `text`; of strings there are {}", list(found))]
    NoColumn {
        /// The columns of strings.
        found: Vec<String>,
    },
    /// A column of other values than are meant.
    #[error(
        "the column '{}' is of type {}, where {meant} are meant; write it so, or choose another column",
        shortened(column),
        shortened(found)
    )]
    Type {
        /// The column.
        column: String,
        /// Its type.
        found: String,
        /// What may be there.
        meant: &'static str,
    },
    /// Two columns of one name.
    #[error("two columns are called '{}'; write the table anew, with one of them", shortened(column))]
    Twice {
        /// Their name.
        column: String,
    },
    /// A table of rows without a text.
    #[error("the column '{}' is empty in every row; name another by `text`", shortened(column))]
    NoText {
        /// The column of the text.
        column: String,
    },
    /// A text of too many bytes.
    #[error(
        "row {row}: a text of more than {max} bytes; if it is meant to be one document, raise `max_document_bytes`"
    )]
    TooLong {
        /// The row, from 1.
        row: u64,
        /// The most bytes that a text may have.
        max: u64,
    },
}
