package ppo

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"plumb/datasets"
)

// TestMain lets this test binary be the program that CommandScorer runs.
func TestMain(m *testing.M) {
	switch os.Getenv("PPO_TEST_JUDGE") {
	case "length":
		lines := bufio.NewScanner(os.Stdin)
		for lines.Scan() {
			var x struct{ Answer string }
			if err := json.Unmarshal(lines.Bytes(), &x); err != nil {
				fmt.Fprintln(os.Stderr, err)
				os.Exit(1)
			}
			fmt.Println(float64(len(x.Answer)) / 2)
		}
		os.Exit(0)
	case "chatty":
		fmt.Println("very good")
		os.Exit(0)
	case "null":
		fmt.Println("1.5\nnull")
		os.Exit(0)
	case "asleep":
		time.Sleep(time.Minute)
		os.Exit(0)
	case "broken":
		fmt.Fprintln(os.Stderr, "no licence found")
		os.Exit(3)
	}
	os.Exit(m.Run())
}

var two = []Example{
	{Prompt: datasets.Text("q"), Answer: "abc"},
	{Prompt: []datasets.Message{{Role: "user", Content: "q"}}, Tools: `[{"name":"f"}]`, Answer: "ä\n\""},
}

func TestCommandScorer(t *testing.T) {
	s := CommandScorer{Args: []string{os.Args[0]}}
	for _, c := range []struct {
		judge, want string
	}{{"length", ""}, {"chatty", "want a number"}, {"null", `line 2 is "null", want a number`}, {"asleep", "no answer within 100ms"}, {"broken", "no licence found"}} {
		t.Setenv("PPO_TEST_JUDGE", c.judge)
		if s.Timeout = 0; c.judge == "asleep" {
			s.Timeout = 50 * time.Millisecond
		}
		got, err := s.Score(context.Background(), two)
		if c.want == "" {
			if err != nil || !slices.Equal(got, []float64{1.5, 2}) {
				t.Errorf("%v, %v", got, err)
			}
		} else if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.judge, err)
		}
	}
	if _, err := (CommandScorer{Args: []string{"/no/such/program"}}).Score(context.Background(), two); err == nil {
		t.Error("a program that is not there")
	}
	if _, err := s.Score(context.Background(), []Example{{Tools: "{"}}); err == nil || !strings.Contains(err.Error(), "example 1") {
		t.Errorf("broken tools: %v", err)
	}
}

func TestHTTPScorer(t *testing.T) {
	calls := 0
	var last string
	answers := []func(w http.ResponseWriter){
		func(w http.ResponseWriter) { http.Error(w, "warming up", http.StatusServiceUnavailable) },
		func(w http.ResponseWriter) { fmt.Fprint(w, `{"scores": [1.25, -2]}`) },
		func(w http.ResponseWriter) { http.Error(w, "who are you", http.StatusForbidden) },
		func(w http.ResponseWriter) { fmt.Fprint(w, `[1, 2]`) },
		func(w http.ResponseWriter) { fmt.Fprint(w, `{"scores": [1, null]}`) },
	}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var body struct{ Examples []map[string]any }
		json.NewDecoder(r.Body).Decode(&body)
		last = fmt.Sprint(r.Header.Get("Authorization"), body.Examples)
		answers[calls](w)
		calls++
	}))
	defer srv.Close()
	t.Setenv(TokenEnv, "secret")
	s := HTTPScorer{URL: srv.URL, Pause: time.Millisecond}
	got, err := s.Score(context.Background(), two)
	if err != nil || !slices.Equal(got, []float64{1.25, -2}) || calls != 2 {
		t.Errorf("%v, %v after %d calls", got, err, calls)
	}
	if want := "Bearer secret[map[answer:abc prompt:q] map[answer:ä\n\" prompt:[map[content:q role:user]] tools:[map[name:f]]]]"; last != want {
		t.Errorf("sent %s", last)
	}
	if _, err = s.Score(context.Background(), two); err == nil || !strings.Contains(err.Error(), "who are you") || calls != 3 {
		t.Errorf("forbidden: %v after %d calls", err, calls)
	}
	if _, err = s.Score(context.Background(), two); err == nil || !strings.Contains(err.Error(), `{"scores"`) || calls != 4 {
		t.Errorf("another shape: %v after %d calls", err, calls)
	}
	if _, err = s.Score(context.Background(), two); err == nil || !strings.Contains(err.Error(), "score 2 is null") || calls != 5 {
		t.Errorf("null: %v after %d calls", err, calls)
	}
	srv.Close()
	if _, err = s.Score(context.Background(), two); err == nil || !strings.Contains(err.Error(), "attempt 6") {
		t.Errorf("gone: %v", err)
	}
}

// A service that takes a connection and never answers is asked again, and then given up.
func TestHTTPScorerWaitsNoLonger(t *testing.T) {
	var asked atomic.Int32
	done := make(chan struct{})
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1); <-done }))
	defer srv.Close()
	defer close(done)
	s := HTTPScorer{URL: srv.URL, Pause: time.Millisecond, Timeout: 100 * time.Millisecond}
	if _, err := s.Score(context.Background(), two); err == nil || !strings.Contains(err.Error(), "no answer within 200ms (see reward_timeout) (attempt 6)") || asked.Load() < 1 {
		t.Errorf("%v after %d requests", err, asked.Load())
	}
}
