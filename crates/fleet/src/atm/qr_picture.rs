//! The code drawn with half blocks, so that a phone can scan it from a terminal.

use fast_qr::{ECL, Mode, QRBuilder};

/// Light modules around the code; ISO/IEC 18004 asks for four.
const QUIET_ZONE: usize = 4;

/// Black on white whatever the terminal's own colours are: a code with swapped colours is not read by every phone.
const BLACK_ON_WHITE: &str = "\x1b[38;2;0;0;0;48;2;255;255;255m";
const COLOURS_OFF: &str = "\x1b[0m";

/// The text does not fit into a QR code, or holds characters outside the alphanumeric mode.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the text of {length} characters cannot be drawn as a QR code: {why}")]
pub struct QrPictureError {
    length: usize,
    why: String,
}

/// The code at error correction level M in alphanumeric mode, two rows of modules a line, each line ended by a line feed.
///
/// # Errors
/// The text does not fit or is not alphanumeric as QR means it.
pub fn terminal_picture(qr_text: &str) -> Result<String, QrPictureError> {
    let refuse = |why: &str| QrPictureError { length: qr_text.len(), why: why.to_owned() };
    let drawable = |c: char| c.is_ascii_digit() || c.is_ascii_uppercase() || " $%*+-./:".contains(c);
    if !qr_text.chars().all(drawable) {
        return Err(refuse("it has characters outside QR's alphanumeric mode"));
    }
    let code = QRBuilder::new(qr_text)
        .mode(Mode::Alphanumeric)
        .ecl(ECL::M)
        .build()
        .map_err(|error| refuse(&error.to_string()))?;
    let width = code.size + 2 * QUIET_ZONE;
    let dark = |x: usize, y: usize| {
        let (x, y) = (x.wrapping_sub(QUIET_ZONE), y.wrapping_sub(QUIET_ZONE));
        x < code.size && y < code.size && code.data.get(y * code.size + x).is_some_and(|module| module.value())
    };
    let mut picture = String::new();
    for y in (0..width).step_by(2) {
        picture.push_str(BLACK_ON_WHITE);
        picture.extend((0..width).map(|x| match (dark(x, y), dark(x, y + 1)) {
            (true, true) => '█',
            (true, false) => '▀',
            (false, true) => '▄',
            (false, false) => ' ',
        }));
        picture.push_str(COLOURS_OFF);
        picture.push('\n');
    }
    Ok(picture)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a camera would see: each character is `scale` pixels wide and two of those high.
    fn photographed(picture: &str, scale: usize) -> (usize, Vec<Vec<bool>>) {
        let mut rows = Vec::new();
        for line in picture.lines() {
            let blocks = line.strip_prefix(BLACK_ON_WHITE).unwrap().strip_suffix(COLOURS_OFF).unwrap();
            let half = |dark: &str| blocks.chars().map(|c| dark.contains(c)).collect::<Vec<_>>();
            rows.extend([half("█▀"), half("█▄")]);
        }
        (rows.len() * scale, rows)
    }

    fn scanned(picture: &str) -> String {
        let scale = 5;
        let (height, rows) = photographed(picture, scale);
        let width = rows[0].len() * scale;
        let shade = |x: usize, y: usize| if rows[y / scale][x / scale] { 0 } else { 255 };
        let mut image = rqrr::PreparedImage::prepare_from_greyscale(width, height, shade);
        let grids = image.detect_grids();
        assert_eq!(grids.len(), 1, "one code is to be seen");
        grids[0].decode().unwrap().1
    }

    #[test]
    fn a_phone_reads_the_terminal() {
        for length in [1, 60, 185, 225, 420] {
            let text = format!("CG1:{}", "AZ09 $%*+-./:".chars().cycle().take(length).collect::<String>());
            assert_eq!(scanned(&terminal_picture(&text).unwrap()), text);
        }
    }

    #[test]
    fn refuses_what_a_qr_code_cannot_hold() {
        assert!(terminal_picture("lower case").is_err());
        assert!(terminal_picture(&"A".repeat(8_000)).is_err());
    }
}
