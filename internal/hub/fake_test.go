package hub

import (
	"bytes"
	"context"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"
)

const commit = "0123456789abcdef0123456789abcdef01234567"

// fakeHub behaves like the hub: an API that lists files, resolve addresses that answer small files themselves and send
// large ones (names with "safetensors" or "gguf") to a store on another host, hashes in headers, ranges, tokens.
type fakeHub struct {
	t          *testing.T
	api, store *httptest.Server
	mu         sync.Mutex
	files      map[string][]byte
	requests   []string // method, path, range
	token      string   // required when set
	cut        int      // the store breaks the connection after so many bytes, cuts times
	cuts       int
	noRange    bool
	damage     func(b []byte) []byte
	failures   int // answers of 503 before any other
	hashOf     map[string]string
	stall      bool
}

func newHub(t *testing.T) (*fakeHub, *client) {
	h := &fakeHub{t: t, files: map[string][]byte{
		"config.json":              []byte(`{"model_type":"llama"}`),
		"model.safetensors":        bytes.Repeat([]byte("0123456789abcdef"), 20000),
		"1_Pooling/config.json":    []byte(`{}`),
		"onnx/model.safetensors":   []byte("not wanted"),
		"README.md":                []byte("not wanted"),
		"pytorch_model.bin":        []byte("not wanted"),
		"odd name & 100%.json":     []byte(`[1]`),
		"tokenizer.json":           []byte(`{"model":{}}`),
		"vocab.txt":                []byte("a\nb\n"),
		"openvino/config.json":     []byte("not wanted"),
		"tokenizer_config.json":    nil, // an empty file is a file
		"chat_template.jinja":      []byte("{{ x }}"),
		"model.safetensors.idx.md": []byte("not wanted"),
	}, hashOf: map[string]string{}}
	h.api = httptest.NewServer(http.HandlerFunc(h.serveAPI))
	h.store = httptest.NewServer(http.HandlerFunc(h.serveStore))
	t.Cleanup(h.api.Close)
	t.Cleanup(h.store.Close)
	for _, env := range []string{"HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_TOKEN_PATH", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HUB_OFFLINE", "XDG_CACHE_HOME"} {
		t.Setenv(env, "")
	}
	t.Setenv("HF_HOME", t.TempDir())
	t.Setenv("HF_ENDPOINT", h.api.URL+"/")
	c, err := newClient()
	if err != nil {
		t.Fatal(err)
	}
	c.wait = func(ctx context.Context, _ int) error { return ctx.Err() }
	return h, c
}

func (h *fakeHub) hash(name string) string {
	if s, ok := h.hashOf[name]; ok {
		return s
	}
	b := h.files[name]
	if large(name) {
		s := sha256.Sum256(b)
		return hex.EncodeToString(s[:])
	}
	s := sha1.Sum(append([]byte(fmt.Sprintf("blob %d\x00", len(b))), b...))
	return hex.EncodeToString(s[:])
}

func large(name string) bool {
	return strings.Contains(name, "safetensors") || strings.Contains(name, "gguf")
}

func (h *fakeHub) serveAPI(w http.ResponseWriter, r *http.Request) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.requests = append(h.requests, r.Method+" "+r.URL.Path+" "+r.Header.Get("Range"))
	if h.failures > 0 {
		h.failures--
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	if h.token != "" && r.Header.Get("Authorization") != "Bearer "+h.token {
		w.Header().Set("X-Error-Message", "Invalid credentials")
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	if rev, ok := strings.CutPrefix(r.URL.EscapedPath(), "/api/models/org/name/revision/"); ok {
		if rev != "main" && rev != commit && rev != "refs%2Fpr%2F1" {
			w.Header().Set("X-Error-Code", "RevisionNotFound")
			w.WriteHeader(http.StatusNotFound)
			return
		}
		siblings := []map[string]string{}
		for n := range h.files {
			siblings = append(siblings, map[string]string{"rfilename": n})
		}
		json.NewEncoder(w).Encode(map[string]any{"sha": commit, "siblings": siblings})
		return
	}
	if strings.HasPrefix(r.URL.Path, "/api/models/org/old/") || strings.HasPrefix(r.URL.Path, "/org/old/") {
		http.Redirect(w, r, strings.Replace(r.URL.EscapedPath(), "org/old", "org/name", 1), http.StatusTemporaryRedirect)
		return
	}
	name, ok := strings.CutPrefix(r.URL.Path, "/org/name/resolve/"+commit+"/")
	b, exists := h.files[name]
	if !ok || !exists {
		w.Header().Set("X-Error-Code", "RepoNotFound")
		w.WriteHeader(http.StatusNotFound)
		return
	}
	w.Header().Set("X-Repo-Commit", commit)
	if large(name) {
		w.Header().Set("X-Linked-Etag", `"`+h.hash(name)+`"`)
		w.Header().Set("X-Linked-Size", fmt.Sprint(len(b)))
		w.Header().Set("ETag", `"of the redirect"`)
		http.Redirect(w, r, h.store.URL+"/"+url.PathEscape(name), http.StatusFound)
		return
	}
	w.Header().Set("ETag", `W/"`+h.hash(name)+`"`)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(b))
}

func (h *fakeHub) serveStore(w http.ResponseWriter, r *http.Request) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.requests = append(h.requests, "store "+r.URL.Path+" "+r.Header.Get("Range"))
	if r.Header.Get("Authorization") != "" {
		h.t.Error("the token reached another host")
	}
	b := h.files[strings.TrimPrefix(r.URL.Path, "/")]
	if h.damage != nil {
		b = h.damage(b)
	}
	if h.noRange {
		r.Header.Del("Range")
	}
	if h.cuts > 0 {
		h.cuts--
		w = &cutter{ResponseWriter: w, left: h.cut, stall: h.stall, done: r.Context().Done()}
	}
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(b))
}

// cutter breaks the connection, or falls silent, after some bytes.
type cutter struct {
	http.ResponseWriter
	left  int
	stall bool
	done  <-chan struct{}
}

func (c *cutter) Write(b []byte) (int, error) {
	if len(b) <= c.left {
		c.left -= len(b)
		return c.ResponseWriter.Write(b)
	}
	c.ResponseWriter.Write(b[:c.left])
	c.ResponseWriter.(http.Flusher).Flush()
	if c.stall {
		<-c.done
	}
	panic(http.ErrAbortHandler)
}

func (h *fakeHub) seen(prefix string) (out []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, r := range h.requests {
		if strings.HasPrefix(r, prefix) {
			out = append(out, strings.TrimSpace(r))
		}
	}
	return out
}

func wantError(t *testing.T, err error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want one with %q", parts)
	}
	for _, p := range parts {
		if !strings.Contains(err.Error(), p) {
			t.Errorf("error %q lacks %q", err, p)
		}
	}
}
