package run

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/term"
)

// How often a display changes: a terminal's line is redrawn, a file or pipe gets a new line.
const (
	redrawEvery = 100 * time.Millisecond
	lineEvery   = 5 * time.Second
)

// Progress shows how far a long task is, with rate and time left: one line redrawn on a terminal, plain lines otherwise.
// All methods may be called from several goroutines, and on a nil Progress, which shows nothing.
type Progress struct {
	mu       sync.Mutex
	w        io.Writer
	now      func() time.Time
	terminal bool
	label    string
	note     string
	total    int
	done     int
	base     int // what was done before this process began; not part of the rate
	started  time.Time
	drawn    time.Time
	width    int
	ended    bool
}

// NewProgress starts a display on w. Total 0 means unknown: no percentage, no time left.
func NewProgress(w io.Writer, label string, total int) *Progress {
	terminal := false
	if f, ok := w.(*os.File); ok {
		terminal = term.IsTerminal(int(f.Fd()))
	}
	return newProgress(w, label, total, terminal, time.Now)
}

func newProgress(w io.Writer, label string, total int, terminal bool, now func() time.Time) *Progress {
	p := &Progress{w: w, now: now, terminal: terminal, label: label, total: total}
	p.started = now()
	p.drawn = p.started
	return p
}

// Resume says that n of the total were done earlier.
func (p *Progress) Resume(n int) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.base, p.done = n, n
}

// Add counts n more as done.
func (p *Progress) Add(n int) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.done += n
	p.show(false)
}

// Set says that n are done in all.
func (p *Progress) Set(n int) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.done = n
	p.show(false)
}

// Note puts a few words (the current loss) behind the numbers; shown with the next change.
func (p *Progress) Note(s string) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.note = s
}

// Done shows the final state and ends the display. Calling it twice is harmless.
func (p *Progress) Done() {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended {
		return
	}
	p.show(true)
	p.ended = true
}

func (p *Progress) show(last bool) {
	if p.ended {
		return
	}
	now := p.now()
	every := lineEvery
	if p.terminal {
		every = redrawEvery
	}
	if !last && now.Sub(p.drawn) < every {
		return
	}
	p.drawn = now
	line := p.line(now, last)
	if !p.terminal {
		fmt.Fprintln(p.w, line)
		return
	}
	n := len([]rune(line))
	fmt.Fprintf(p.w, "\r%s%*s", line, max(0, p.width-n), "")
	p.width = n
	if last {
		fmt.Fprintln(p.w)
	}
}

func (p *Progress) line(now time.Time, last bool) string {
	elapsed := now.Sub(p.started)
	s := fmt.Sprintf("%s %d", p.label, p.done)
	if p.total > 0 {
		s = fmt.Sprintf("%s %d/%d %d%%", p.label, p.done, p.total, 100*p.done/p.total)
	}
	rate := 0.0
	if elapsed > 0 {
		rate = float64(p.done-p.base) / elapsed.Seconds()
	}
	if rate > 0 {
		s += " " + formatRate(rate)
	}
	switch {
	case last:
		s += " in " + formatDuration(elapsed)
	case rate > 0 && p.total > p.done:
		s += " ETA " + formatDuration(time.Duration(float64(p.total-p.done)/rate*float64(time.Second)))
	}
	if p.note != "" {
		s += " " + p.note
	}
	return s
}

func formatRate(r float64) string {
	switch {
	case r >= 100:
		return fmt.Sprintf("%.0f/s", r)
	case r >= 1:
		return fmt.Sprintf("%.1f/s", r)
	default:
		return fmt.Sprintf("%.1f s each", 1/r)
	}
}

func formatDuration(d time.Duration) string {
	d = d.Round(time.Second)
	h, m, s := int(d.Hours()), int(d.Minutes())%60, int(d.Seconds())%60
	if h > 0 {
		return fmt.Sprintf("%d:%02d:%02d", h, m, s)
	}
	return fmt.Sprintf("%d:%02d", m, s)
}
