package hub

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestPullFindList(t *testing.T) {
	h, c := newHub(t)
	_, err := Find("org/name")
	if !errors.Is(err, ErrNotCached) {
		t.Fatalf("before the pull: %v", err)
	}
	var last Progress
	dir, err := c.pull(context.Background(), "org/name", "", func(p Progress) {
		if p.Done > p.Total {
			t.Errorf("progress %+v", p)
		}
		last = p
	})
	if err != nil {
		t.Fatal(err)
	}
	if last.Done != last.Total || last.Total < 320000 {
		t.Errorf("last progress %+v", last)
	}
	found, err := Find("org/name")
	if err != nil || found != dir {
		t.Fatalf("Find = %s, %v, want %s", found, err, dir)
	}
	if byCommit, err := Find("org/name@" + commit); err != nil || byCommit != dir {
		t.Errorf("by commit: %s, %v", byCommit, err)
	}
	for name, want := range h.files {
		got, err := os.ReadFile(filepath.Join(dir, name))
		if string(want) == "not wanted" {
			if err == nil {
				t.Errorf("%s was fetched", name)
			}
			continue
		}
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %d bytes, %v, want %d", name, len(got), err, len(want))
		}
	}
	target, err := os.Readlink(filepath.Join(dir, "1_Pooling", "config.json"))
	if err != nil || target != "../../../blobs/"+h.hash("1_Pooling/config.json") {
		t.Errorf("link %s, %v: not as Python's library writes it", target, err)
	}
	all, err := List()
	if err != nil || len(all) != 1 || all[0].Name != "org/name" || all[0].Revision != "main" || all[0].Commit != commit || all[0].Dir != dir || all[0].Bytes != last.Total {
		t.Errorf("List = %+v, %v", all, err)
	}
	before := len(h.seen("store")) // again: nothing is fetched
	if _, err := c.pull(context.Background(), "org/name", "", nil); err != nil {
		t.Fatal(err)
	}
	if n := len(h.seen("store")); n != before || n != 1 {
		t.Errorf("%d requests to the store, then %d", before, n)
	}
}

func TestRenamedRepositoryAndSlashedRevision(t *testing.T) {
	_, c := newHub(t)
	if _, err := c.pull(context.Background(), "org/old", "", nil); err != nil {
		t.Error(err)
	}
	if _, err := c.pull(context.Background(), "org/name@refs/pr/1", "", nil); err != nil {
		t.Error(err)
	}
	if _, err := Find("org/name@refs/pr/1"); err != nil {
		t.Error(err)
	}
}

func TestInterruptedDownloadResumes(t *testing.T) {
	h, c := newHub(t)
	h.cut, h.cuts = 100000, 2
	dir, err := c.pull(context.Background(), "org/name", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	got, _ := os.ReadFile(filepath.Join(dir, "model.safetensors"))
	if !bytes.Equal(got, h.files["model.safetensors"]) {
		t.Error("the joined file differs")
	}
	want := []string{"store /model.safetensors", "store /model.safetensors bytes=100000-", "store /model.safetensors bytes=200000-"}
	if r := h.seen("store"); fmt.Sprint(r) != fmt.Sprint(want) {
		t.Errorf("requests %q, want %q", r, want)
	}
}

func TestSilentServerIsGivenUp(t *testing.T) {
	h, c := newHub(t)
	h.cut, h.cuts, h.stall = 100000, 1, true
	c.stall = 20 * time.Millisecond
	if _, err := c.pull(context.Background(), "org/name", "", nil); err != nil {
		t.Fatal(err)
	}
	if r := h.seen("store"); len(r) < 2 || !strings.HasSuffix(r[1], "bytes=100000-") {
		t.Errorf("requests %q", r)
	}
}

func TestNextCallContinuesWhatAKilledOneLeft(t *testing.T) {
	h, c := newHub(t)
	ctx, cancel := context.WithCancel(context.Background())
	h.cut, h.cuts = 200000, 1
	_, err := c.pull(ctx, "org/name", "", func(p Progress) {
		if p.File == "model.safetensors" && p.Done > 100000 {
			cancel()
		}
	})
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("error %v", err)
	}
	if _, err := Find("org/name"); !errors.Is(err, ErrNotCached) {
		t.Errorf("half a model was found: %v", err)
	}
	if _, err := c.pull(context.Background(), "org/name", "", nil); err != nil {
		t.Fatal(err)
	}
	if r := h.seen("store"); len(r) != 2 || !strings.Contains(r[1], "bytes=") {
		t.Errorf("requests %q: not continued", r)
	}
}

func TestServerWithoutRangesStartsAgain(t *testing.T) {
	h, c := newHub(t)
	h.cut, h.cuts, h.noRange = 100000, 1, true
	dir, err := c.pull(context.Background(), "org/name", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	if got, _ := os.ReadFile(filepath.Join(dir, "model.safetensors")); !bytes.Equal(got, h.files["model.safetensors"]) {
		t.Error("the file differs")
	}
}

func TestDamageIsFoundAndNeverNamed(t *testing.T) {
	h, c := newHub(t)
	h.damage = func(b []byte) []byte { return append([]byte{b[0] ^ 1}, b[1:]...) }
	_, err := c.pull(context.Background(), "org/name", "", nil)
	wantError(t, err, "model.safetensors", "damaged", h.hash("model.safetensors"))
	if _, err := Find("org/name"); err == nil {
		t.Error("a damaged model was found")
	}
	h.damage = nil
	if _, err := c.pull(context.Background(), "org/name", "", nil); err != nil {
		t.Errorf("after the damage: %v", err)
	}
	h.damage = func(b []byte) []byte { return append(bytes.Clone(b), 'x') } // too long
	os.RemoveAll(os.Getenv("HF_HOME"))
	if _, err = c.pull(context.Background(), "org/name", "", nil); err == nil {
		t.Error("a longer file was accepted")
	}
}

func TestRubbishLeftOnDiskIsReplaced(t *testing.T) {
	h, c := newHub(t)
	blobs := filepath.Join(repoDir(c.cache, "org/name"), "blobs")
	if err := os.MkdirAll(blobs, 0o755); err != nil {
		t.Fatal(err)
	}
	part := filepath.Join(blobs, h.hash("model.safetensors")+".incomplete")
	for _, n := range []int{1000, 320000, 400000} { // shorter, as long, longer
		os.Remove(filepath.Join(blobs, h.hash("model.safetensors")))
		if err := os.WriteFile(part, make([]byte, n), 0o644); err != nil {
			t.Fatal(err)
		}
		dir, err := c.pull(context.Background(), "org/name", "", nil)
		if err != nil {
			t.Fatal(err)
		}
		if got, _ := os.ReadFile(filepath.Join(dir, "model.safetensors")); !bytes.Equal(got, h.files["model.safetensors"]) {
			t.Errorf("%d bytes left behind: the file differs", n)
		}
	}
}

func TestRefusals(t *testing.T) {
	h, c := newHub(t)
	ctx := context.Background()
	_, err := c.pull(ctx, "org/name", "nothing", nil)
	wantError(t, err, "org/name", "no such revision")
	_, err = c.pull(ctx, "org/other", "", nil)
	wantError(t, err, "org/other", "no such model", "HF_TOKEN", "404")
	h.token = "secret"
	_, err = c.pull(ctx, "org/name", "", nil)
	wantError(t, err, "private: set HF_TOKEN", "Invalid credentials")
	c.token = "wrong"
	_, err = c.pull(ctx, "org/name", "", nil)
	wantError(t, err, "the token given may not read it")
	if strings.Contains(err.Error(), "wrong") {
		t.Error("the error shows the token")
	}
	c.token = "secret"
	if _, err = c.pull(ctx, "org/name", "", nil); err != nil {
		t.Error(err)
	}
	h.failures = 3
	if _, err = c.pull(ctx, "org/name", "", nil); err != nil {
		t.Errorf("a hub that was in trouble: %v", err)
	}
	h.failures = 100
	_, err = c.pull(ctx, "org/name", "", nil)
	wantError(t, err, "503")
	t.Setenv("HF_HUB_OFFLINE", "1")
	_, err = Pull(ctx, "org/name", "", nil)
	wantError(t, err, "HF_HUB_OFFLINE")
}

func TestHostileHub(t *testing.T) {
	for name, want := range map[string]string{"../evil.json": "lists a file", "/etc/evil.json": "lists a file", "a/../../b.json": "lists a file", `a\b.json`: "lists a file"} {
		h, c := newHub(t)
		h.files[name] = []byte("x")
		_, err := c.pull(context.Background(), "org/name", "", nil)
		wantError(t, err, want)
	}
	h, c := newHub(t)
	h.hashOf["model.safetensors"] = "../../../evil"
	_, err := c.pull(context.Background(), "org/name", "", nil)
	wantError(t, err, "could not be checked")
}

func TestGGUFRepository(t *testing.T) {
	h, c := newHub(t)
	h.files = map[string][]byte{"a.gguf": []byte("A"), "b.gguf": []byte("B"), "config.json": []byte("{}")}
	ctx := context.Background()
	_, err := c.pull(ctx, "org/name", "", nil)
	wantError(t, err, "several GGUF files", "org", "a.gguf")
	dir, err := c.pull(ctx, "org/name:b.gguf", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(filepath.Join(dir, "b.gguf")); string(b) != "B" {
		t.Errorf("%q, %v", b, err)
	}
	_, err = c.pull(ctx, "org/name:c.gguf", "", nil)
	wantError(t, err, "no file c.gguf")
	h.files = map[string][]byte{"pytorch_model.bin": []byte("A")}
	_, err = c.pull(ctx, "org/name", "", nil)
	wantError(t, err, "neither safetensors nor GGUF")
}

func TestNames(t *testing.T) {
	for _, good := range []string{"gpt2", "org/name", "org/na.me-1_x@v1.0", "org/name@refs/pr/1"} {
		if !IsName(good) {
			t.Errorf("%q is refused", good)
		}
	}
	for _, bad := range []string{"", "/x", "a/b/c", "../x", "a/..", "a--b/c", "org/name@../x", "org/name@/x", "a b", "./models"} {
		if IsName(bad) {
			t.Errorf("%q is accepted", bad)
		}
		if _, err := Find(bad); err == nil {
			t.Errorf("Find(%q) found something", bad)
		}
	}
}

func TestCacheFolder(t *testing.T) {
	t.Setenv("HF_HUB_CACHE", "")
	t.Setenv("HUGGINGFACE_HUB_CACHE", "")
	t.Setenv("HF_HOME", "")
	t.Setenv("XDG_CACHE_HOME", "")
	t.Setenv("HOME", "/home/x")
	for _, step := range []struct{ env, value, want string }{
		{"HOME", "/home/x", "/home/x/.cache/huggingface/hub"},
		{"XDG_CACHE_HOME", "/xdg", "/xdg/huggingface/hub"},
		{"HF_HOME", "/hf", "/hf/hub"},
		{"HUGGINGFACE_HUB_CACHE", "/old", "/old"},
		{"HF_HUB_CACHE", "/new", "/new"},
	} {
		t.Setenv(step.env, step.value)
		if got, err := CacheDir(); err != nil || got != step.want {
			t.Errorf("with %s: %s, %v, want %s", step.env, got, err, step.want)
		}
	}
}

func TestTokenFile(t *testing.T) {
	_, _ = newHub(t)
	if got := token(); got != "" {
		t.Errorf("token %q without any", got)
	}
	if err := os.WriteFile(filepath.Join(os.Getenv("HF_HOME"), "token"), []byte("from-file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := token(); got != "from-file" {
		t.Errorf("token %q", got)
	}
	t.Setenv("HF_TOKEN", "from-env")
	if got := token(); got != "from-env" {
		t.Errorf("token %q", got)
	}
	t.Setenv("HF_ENDPOINT", "ftp://x")
	_, err := newClient()
	wantError(t, err, "HF_ENDPOINT")
}
