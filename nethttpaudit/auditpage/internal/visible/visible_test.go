package visible_test

import (
	"fmt"
	"strings"
	"testing"
	"unicode"

	"github.com/auditing-go/auditing/nethttpaudit/auditpage/internal/visible"
)

// written is the parts with marks in brackets.
func written(parts []visible.Part) string {
	var b strings.Builder
	for _, p := range parts {
		if b.WriteString(p.Text); p.Mark != "" {
			b.WriteString("[" + p.Mark + "]")
			if p.Times > 1 {
				fmt.Fprintf(&b, "×%d", p.Times)
			}
		}
	}
	return b.String()
}

func TestParts(t *testing.T) {
	for text, want := range map[string]string{
		"":      "",
		"alice": "alice",
		"Zürich, 東京, שלום, नमस्ते": "Zürich, 東京, שלום, नमस्ते",
		"<b>":                        "<b>",
		"ali\u200bce":                "ali[U+200B]ce",
		"\u202eecila":                "[U+202E]ecila",
		"a\u2066b\u2069c":            "a[U+2066]b[U+2069]c",
		"a\u00a0b":                   "a[U+00A0]b",
		" a b  ":                     "[U+0020]a b[U+0020]×2",
		"a\nb\tc\r":                  `a[\n]b[\t]c[\r]`,
		"\x00\x1b[31m\x7f":           "[U+0000][U+001B][31m[U+007F]",
		"a\u3164b\u2800\ufe0f\ufeff": "a[U+3164]b[U+2800][U+FE0F][U+FEFF]",
		"tag\U000e0041":              "tag[U+E0041]",
		"e\u0301\u0301\u0301\u0301":  "e\u0301\u0301\u0301[U+0301]",
		"    ":                       "[U+0020]×4",
		"\ue000":                     "[U+E000]",
	} {
		parts, cut := visible.Parts(text, 0)
		if got := written(parts); got != want || cut {
			t.Errorf("%q is shown as %q (cut: %v), want %q", text, got, cut, want)
		}
	}
}

func TestPartsCut(t *testing.T) {
	for _, test := range []struct {
		text  string
		limit int
		want  string
		cut   bool
	}{
		{"abc", 3, "abc", false},
		{"abcd", 3, "abc", true},
		{"äöü", 3, "äöü", false},
		{"äöüß", 3, "äöü", true},
	} {
		parts, cut := visible.Parts(test.text, test.limit)
		if got := written(parts); got != test.want || cut != test.cut {
			t.Errorf("of %q %d are %q (cut: %v)", test.text, test.limit, got, cut)
		}
	}
}

// FuzzParts: nothing that is shown as it is could hide or turn what stands beside it, and
// with its marks it is the whole text.
func FuzzParts(f *testing.F) {
	f.Add("a\u202eb \u0301")
	f.Fuzz(func(t *testing.T, text string) {
		parts, _ := visible.Parts(text, 0)
		marks := 0
		for _, p := range parts {
			if p.Mark != "" {
				marks += p.Times
				continue
			}
			for _, r := range p.Text {
				if unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp, unicode.Bidi_Control) || r == '\u00a0' {
					t.Errorf("%q is shown as it is", r)
				}
			}
		}
		shown := 0
		for _, p := range parts {
			shown += len([]rune(p.Text))
		}
		if all := len([]rune(text)); shown+marks != all {
			t.Errorf("%d of %d characters are shown", shown+marks, all)
		}
	})
}
