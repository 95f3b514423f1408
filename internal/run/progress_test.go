package run

import (
	"strings"
	"testing"
	"time"
)

// clock is a time that moves only when told to.
type clock struct{ t time.Time }

func (c *clock) now() time.Time { return c.t }

func TestPlainProgressPrintsNowAndThen(t *testing.T) {
	var out strings.Builder
	c := &clock{time.Unix(0, 0)}
	p := newProgress(&out, "dpo", 100, false, c.now)
	for range 50 {
		c.t = c.t.Add(200 * time.Millisecond)
		p.Add(1)
	}
	p.Note("loss 0.5")
	p.Done()
	p.Done()
	want := "dpo 25/100 25% 5.0/s ETA 0:15\n" +
		"dpo 50/100 50% 5.0/s ETA 0:10\n" +
		"dpo 50/100 50% 5.0/s in 0:10 loss 0.5\n"
	if out.String() != want {
		t.Errorf("got\n%swant\n%s", out.String(), want)
	}
}

func TestTerminalProgressRedrawsOneLine(t *testing.T) {
	var out strings.Builder
	c := &clock{time.Unix(0, 0)}
	p := newProgress(&out, "rows", 0, true, c.now)
	p.Resume(1000)
	p.Note("a long note")
	c.t = c.t.Add(2 * time.Second)
	p.Set(1001)
	p.Note("")
	c.t = c.t.Add(2 * time.Second)
	p.Add(1)
	p.Done()
	want := "\rrows 1001 2.0 s each a long note" +
		"\rrows 1002 2.0 s each            " +
		"\rrows 1002 2.0 s each in 0:04\n"
	if out.String() != want {
		t.Errorf("got\n%q\nwant\n%q", out.String(), want)
	}
}

func TestNilProgressShowsNothing(t *testing.T) {
	var p *Progress
	p.Resume(1)
	p.Add(1)
	p.Set(2)
	p.Note("x")
	p.Done()
}
