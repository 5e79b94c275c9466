//! Text inside markup, as HTML and SVG show it.

/// `text` with the characters replaced that would be markup.
pub fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::escaped;

    #[test]
    fn markup_becomes_text() {
        assert_eq!(escaped("a <b c=\"d\"> & &lt;"), "a &lt;b c=&quot;d&quot;&gt; &amp; &amp;lt;");
    }
}
