// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"fmt"
	"html"
	"os"
	"strings"

	uv "github.com/charmbracelet/ultraviolet"
	"github.com/charmbracelet/x/ansi"
	"github.com/charmbracelet/x/vt"
)

// screen is what a terminal shows.
type screen struct{ *vt.Emulator }

// The picture's measures. A cell is as wide as those of most monospaced fonts at this size.
const (
	cell   = 8.4
	line   = 19
	margin = 16
	bar    = 34 // the window's title
)

// The window brings its own background, so that it can be read on light and dark pages.
const head = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %[1]g %[2]d" width="%[1]g" height="%[2]d" role="img">
<title>%[3]s</title>
<style>
text { font: 14px ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", "Liberation Mono", monospace;` +
	` fill: #d5dae1; }
.dim { fill: #8b949e; }
.bold { font-weight: bold; }
.red { fill: #ff7b72; }
</style>
<rect x="0.5" y="0.5" width="%[4]g" height="%[5]d" rx="8" fill="#161b22" stroke="#444c56"/>
<circle cx="20" cy="18" r="6" fill="#ff5f57"/><circle cx="40" cy="18" r="6" fill="#febc2e"/>` +
	`<circle cx="60" cy="18" r="6" fill="#28c840"/>
<text class="dim" x="%[6]g" y="23" text-anchor="middle">%[3]s</text>
`

// write draws the screen as a window with a title.
func (s *screen) write(file, title string) error {
	rows := s.Height()
	for rows > 0 && len(s.runs(rows-1)) == 0 {
		rows--
	}
	width, height := float64(s.Width())*cell+2*margin, bar+rows*line+margin
	var b bytes.Buffer
	fmt.Fprintf(&b, head, width, height, html.EscapeString(title), width-1, height-1, width/2)
	for y := range rows {
		for _, r := range s.runs(y) {
			class, err := r.class()
			if err != nil {
				return fmt.Errorf("line %d: %q: %w", y+1, r.text, err)
			}
			fmt.Fprintf(&b, "<text%s x=\"%g\" y=\"%d\" textLength=\"%g\">%s</text>\n", class, margin+float64(r.x)*cell,
				bar+y*line+line/2+4, float64(r.width)*cell, html.EscapeString(r.text))
		}
	}
	b.WriteString("</svg>\n")
	return os.WriteFile(file, b.Bytes(), 0o644)
}

// run is text of one style without a gap. Each stands where it belongs, so that columns are columns in every font.
type run struct {
	x, width int
	text     string
	style    uv.Style
}

// runs are those of a line.
func (s *screen) runs(y int) []run {
	var all []run
	for x, blanks := 0, 2; x < s.Width(); x++ {
		c := s.CellAt(x, y)
		switch {
		case c == nil || c.Width == 0: // the second half of a wide character
		case strings.TrimSpace(c.Content) == "":
			blanks++
		default:
			if last := len(all) - 1; blanks > 1 || !all[last].style.Equal(&c.Style) {
				all = append(all, run{x: x, style: c.Style})
			} else if blanks == 1 {
				all[last].text += " "
			}
			last := &all[len(all)-1]
			last.text += c.Content
			last.width = x + c.Width - last.x
			blanks = 0
		}
	}
	return all
}

// class is how the style is drawn: the styles that reconbeat uses.
func (r run) class() (string, error) {
	var classes []string
	attributes := r.style.Attrs
	for _, a := range []struct {
		bit  uint8
		name string
	}{{uv.AttrBold, "bold"}, {uv.AttrFaint, "dim"}} {
		if attributes&a.bit != 0 {
			classes = append(classes, a.name)
			attributes &^= a.bit
		}
	}
	switch r.style.Fg {
	case nil:
	case ansi.Red:
		classes = append(classes, "red")
	default:
		return "", fmt.Errorf("the picture has no colour %v", r.style.Fg)
	}
	if attributes != 0 || r.style.Bg != nil || r.style.Underline != 0 {
		return "", fmt.Errorf("the picture has no style %+v", r.style)
	}
	if len(classes) == 0 {
		return "", nil
	}
	return ` class="` + strings.Join(classes, " ") + `"`, nil
}
