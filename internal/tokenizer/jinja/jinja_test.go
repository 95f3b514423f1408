package jinja

import "testing"

// FuzzTemplate: no template may panic, hang or take the memory; errors are fine.
func FuzzTemplate(f *testing.F) {
	for _, s := range []string{"{% for m in messages %}{{ m.role ~ loop.index }}{% else %}-{% endfor %}", "{{ [1, 2][::-1] | map('string') | join(',') }}",
		"{% macro f(a, b=1) %}{{ a + b }}{% endmacro %}{{ f(2) }}{% set ns = namespace(x=1) %}{% set ns.x = 2 %}", "{{ {'a': 1} | tojson(indent=2) }}",
		"{%- raw -%}{{ x }}{%- endraw -%}", "{{ 'a' * 3 if x is defined else '%d' % 3 }}", "{{ 'x'.split('x', 1)[0].strip() }}"} {
		f.Add(s)
	}
	m := NewDict()
	m.Set("role", "user")
	f.Fuzz(func(t *testing.T, s string) {
		tp, err := Parse(s)
		if err != nil {
			if e, ok := err.(*Error); !ok || e.Message == "" {
				t.Fatalf("%q: error %v", s, err)
			}
			return
		}
		a, errA := tp.Render(map[string]any{"messages": List{m}})
		b, errB := tp.Render(map[string]any{"messages": List{m}})
		if a != b || (errA == nil) != (errB == nil) {
			t.Fatalf("%q: two renderings differ", s)
		}
	})
}

func TestFromJSON(t *testing.T) {
	v, err := FromJSON(`{"b": [1, 1.0, 123456789012345678901234567890, "é\n", null, true], "a": {}}`)
	if got, want := str(v), `{'b': [1, 1.0, 123456789012345678901234567890, 'é\n', None, True], 'a': {}}`; err != nil || got != want {
		t.Errorf("%v: got %s, want %s", err, got, want)
	}
	for _, bad := range []string{"", "{", "[1,", "1 2", `{"a"}`, "nul", `{"a":}`} {
		if v, err := FromJSON(bad); err == nil {
			t.Errorf("%q: %v, want an error", bad, v)
		}
	}
}
