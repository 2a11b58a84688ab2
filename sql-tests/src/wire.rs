//! The Postgres protocol by hand, as far as a simple client needs it: frames out, frames in.
//!
//! It is written out rather than taken from a driver: drivers lose count of answers when a COPY fails at its start, and
//! tests of malformed messages must be able to send what no driver would.

use anyhow::{Context, Result, bail, ensure};
use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Version 3.0.
const PROTOCOL_VERSION: i32 = 196_608;
/// A frame that claims to be longer is a mistake.
const FRAME_BYTES_MAX: usize = 1 << 30;

/// A message from the server: its type byte and what follows the length.
#[derive(Clone, Debug)]
pub struct Frame {
    pub kind: u8,
    pub body: Bytes,
}

/// What a RowDescription says of a column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ColumnDescription {
    pub name: String,
    pub type_oid: u32,
    /// -1 where the type has none.
    pub type_modifier: i32,
}

/// A connection that speaks frames.
pub struct Wire {
    stream: TcpStream,
    received: BytesMut,
}

impl Wire {
    /// Connects and says nothing yet.
    pub async fn open(host: &str, port: u16) -> Result<Self> {
        let stream = TcpStream::connect((host, port)).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, received: BytesMut::new() })
    }

    /// Sends the startup packet with these parameters.
    pub async fn send_startup(&mut self, parameters: &[(&str, &str)]) -> Result<()> {
        let mut body = PROTOCOL_VERSION.to_be_bytes().to_vec();
        for text in parameters.iter().flat_map(|(name, value)| [name, value]) {
            body.extend_from_slice(text.as_bytes());
            body.push(0);
        }
        body.push(0);
        let length = i32::try_from(body.len() + 4)?;
        self.send_bytes(&[&length.to_be_bytes()[..], &body].concat()).await
    }

    /// Sends a frame.
    pub async fn send(&mut self, kind: u8, body: &[u8]) -> Result<()> {
        let length = i32::try_from(body.len() + 4)?;
        self.send_bytes(&[&[kind][..], &length.to_be_bytes(), body].concat()).await
    }

    /// Sends a frame whose body is a zero-terminated text, such as Query.
    pub async fn send_text(&mut self, kind: u8, text: &str) -> Result<()> {
        ensure!(!text.contains('\0'), "a zero byte ends a text on the wire");
        self.send(kind, &[text.as_bytes(), &[0]].concat()).await
    }

    /// Sends bytes as they are.
    pub async fn send_bytes(&mut self, bytes: &[u8]) -> Result<()> {
        Ok(self.stream.write_all(bytes).await?)
    }

    /// The next frame; an error when the server has closed the connection.
    pub async fn receive(&mut self) -> Result<Frame> {
        loop {
            if let Some(frame) = self.take_frame()? {
                return Ok(frame);
            }
            if self.stream.read_buf(&mut self.received).await? == 0 {
                bail!("the server closed the connection");
            }
        }
    }

    /// One byte that is no frame, as the answer to a request for encryption.
    pub async fn receive_byte(&mut self) -> Result<u8> {
        if self.received.is_empty() {
            ensure!(self.stream.read_buf(&mut self.received).await? > 0, "the server closed the connection");
        }
        Ok(self.received.split_to(1)[0])
    }

    fn take_frame(&mut self) -> Result<Option<Frame>> {
        let Some(header) = self.received.get(..5) else { return Ok(None) };
        let kind = header[0];
        let length = u32::from_be_bytes([header[1], header[2], header[3], header[4]]) as usize;
        ensure!((4..FRAME_BYTES_MAX).contains(&length), "a frame of type {kind} claims {length} bytes");
        if self.received.len() < length + 1 {
            return Ok(None);
        }
        let mut frame = self.received.split_to(length + 1).freeze();
        frame.advance(5);
        Ok(Some(Frame { kind, body: frame }))
    }
}

impl Frame {
    /// The zero-terminated texts of an error or notice, each behind its field's type byte.
    pub fn fields(&self) -> Vec<(u8, String)> {
        let mut fields = Vec::new();
        for field in self.body.split(|byte| *byte == 0) {
            if let Some((kind, text)) = field.split_first() {
                fields.push((*kind, String::from_utf8_lossy(text).into_owned()));
            }
        }
        fields
    }

    /// The column names of a RowDescription.
    pub fn column_names(&self) -> Result<Vec<String>> {
        Ok(self.column_descriptions()?.into_iter().map(|column| column.name).collect())
    }

    /// The columns of a RowDescription.
    pub fn column_descriptions(&self) -> Result<Vec<ColumnDescription>> {
        let mut body = self.body.clone();
        let count = take_u16(&mut body)?;
        let mut columns = Vec::new();
        for _ in 0..count {
            let end = body.iter().position(|byte| *byte == 0).context("a column's name does not end")?;
            let name = String::from_utf8_lossy(&body.split_to(end)).into_owned();
            ensure!(body.len() >= 19, "a column's description is cut");
            // The zero byte, the table and the column's number in it.
            body.advance(7);
            let type_oid = body.get_u32();
            body.advance(2);
            let type_modifier = body.get_i32();
            body.advance(2);
            columns.push(ColumnDescription { name, type_oid, type_modifier });
        }
        Ok(columns)
    }

    /// The values of a DataRow in text form.
    pub fn values(&self) -> Result<Vec<Option<String>>> {
        let mut body = self.body.clone();
        let count = take_u16(&mut body)?;
        let mut values = Vec::new();
        for _ in 0..count {
            ensure!(body.len() >= 4, "a row is cut");
            let length = body.get_i32();
            if length < 0 {
                values.push(None);
                continue;
            }
            let length = length as usize;
            ensure!(body.len() >= length, "a value is cut");
            values.push(Some(String::from_utf8(body.split_to(length).to_vec()).context("a value is not UTF-8")?));
        }
        Ok(values)
    }

    /// The text of a CommandComplete or ParameterStatus up to its first zero byte.
    pub fn text(&self) -> String {
        let end = self.body.iter().position(|byte| *byte == 0).unwrap_or(self.body.len());
        String::from_utf8_lossy(&self.body[..end]).into_owned()
    }
}

fn take_u16(body: &mut Bytes) -> Result<u16> {
    ensure!(body.len() >= 2, "a frame is cut");
    Ok(body.get_u16())
}
