package hub

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"plumb/internal/run"
)

// Progress is where a Pull stands: File is being fetched; Done of Total bytes of all files are there.
type Progress struct {
	File        string
	Done, Total int64
}

// Pull downloads a model ("organisation/model", "organisation/model@revision", or with ":file.gguf" one file of a GGUF
// repository) into the cache and returns the folder of its files. Files that are there are not fetched again; a download
// that was cut is resumed; every file is checked against the hash that the hub gives before it gets its name; the
// revision points at the new files only when all are there. progress may be nil.
//
// HF_ENDPOINT names another hub, HF_TOKEN (or the file of `hf auth login`) gives access, HF_HUB_OFFLINE=1 forbids the network.
func Pull(ctx context.Context, name, revision string, progress func(Progress)) (string, error) {
	c, err := newClient()
	if err != nil {
		return "", err
	}
	return c.pull(ctx, name, revision, progress)
}

type client struct {
	endpoint, token, cache string
	http                   *http.Client
	stall                  time.Duration // a body that sends nothing for so long is given up
	wait                   func(ctx context.Context, attempt int) error
}

func newClient() (*client, error) {
	if v := strings.ToUpper(os.Getenv("HF_HUB_OFFLINE")); v == "1" || v == "TRUE" || v == "ON" || v == "YES" {
		return nil, errors.New("hub: HF_HUB_OFFLINE is set: nothing is downloaded")
	}
	cache, err := CacheDir()
	if err != nil {
		return nil, err
	}
	endpoint := os.Getenv("HF_ENDPOINT")
	if endpoint == "" {
		endpoint = "https://huggingface.co"
	}
	if u, err := url.Parse(endpoint); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("hub: HF_ENDPOINT %q is not an http(s) address", endpoint)
	}
	return &client{
		endpoint: strings.TrimRight(endpoint, "/"), token: token(), cache: cache,
		http: &http.Client{
			Transport: &http.Transport{
				Proxy: http.ProxyFromEnvironment, ResponseHeaderTimeout: 30 * time.Second, TLSHandshakeTimeout: 15 * time.Second,
				DialContext: (&net.Dialer{Timeout: 15 * time.Second}).DialContext, IdleConnTimeout: 30 * time.Second, ForceAttemptHTTP2: true,
			},
			// Redirects are followed by hand: the first answer carries the hash, and the token must not travel to another host.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		stall: time.Minute,
		wait: func(ctx context.Context, attempt int) error {
			t := time.NewTimer(time.Second << min(attempt, 5))
			defer t.Stop()
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-t.C:
				return nil
			}
		},
	}, nil
}

func token() string {
	for _, env := range []string{"HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"} {
		if t := strings.TrimSpace(os.Getenv(env)); t != "" {
			return t
		}
	}
	p := os.Getenv("HF_TOKEN_PATH")
	if p == "" {
		home, err := homeDir()
		if err != nil {
			return ""
		}
		p = filepath.Join(home, "token")
	}
	b, err := os.ReadFile(p)
	if err != nil {
		return "" // public models need none
	}
	return strings.TrimSpace(string(b))
}

func (c *client) pull(ctx context.Context, name, revision string, progress func(Progress)) (string, error) {
	name, only, _ := strings.Cut(name, ":")
	repo, rev, err := split(name, revision)
	if err != nil {
		return "", err
	}
	var commit string
	var names []string
	err = c.retry(ctx, func() (err error) { commit, names, err = c.list(ctx, repo, rev); return err })
	if err != nil {
		return "", fmt.Errorf("pull %s: %w", repo, err)
	}
	if names, err = wanted(names, only); err != nil {
		return "", fmt.Errorf("pull %s: %w", repo, err)
	}
	root := repoDir(c.cache, repo)
	var files []file
	at := Progress{}
	for _, n := range names {
		var f file
		err := c.retry(ctx, func() (err error) { f, err = c.head(ctx, repo, commit, n); return err })
		if err != nil {
			return "", fmt.Errorf("pull %s: %s: %w", repo, n, err)
		}
		files = append(files, f)
		at.Total += f.size
	}
	report := func(f file, n int64) {
		at.File, at.Done = f.name, at.Done+n
		if progress != nil {
			progress(at)
		}
	}
	snapshot := filepath.Join(root, "snapshots", commit)
	for _, f := range files {
		if err := c.fetch(ctx, root, f, func(n int64) { report(f, n) }); err != nil {
			return "", fmt.Errorf("pull %s: %s: %w", repo, f.name, err)
		}
		if err := link(root, snapshot, f); err != nil {
			return "", fmt.Errorf("pull %s: %s: %w", repo, f.name, err)
		}
	}
	if rev != commit {
		ref := filepath.Join(root, "refs", filepath.FromSlash(rev))
		if err := os.MkdirAll(filepath.Dir(ref), 0o755); err != nil {
			return "", fmt.Errorf("pull %s: %w", repo, err)
		}
		err := run.WriteFile(ref, func(w io.Writer) error { _, err := io.WriteString(w, commit); return err })
		if err != nil {
			return "", fmt.Errorf("pull %s: %w", repo, err)
		}
	}
	return snapshot, nil
}

// list asks the hub which commit a revision is and which files it has.
func (c *client) list(ctx context.Context, repo, rev string) (commit string, names []string, err error) {
	resp, err := c.get(ctx, http.MethodGet, c.endpoint+"/api/models/"+repo+"/revision/"+url.PathEscape(rev), 0)
	if err != nil {
		return "", nil, err
	}
	defer resp.Body.Close()
	const most = 64 << 20
	var info struct {
		SHA      string `json:"sha"`
		Siblings []struct {
			Name string `json:"rfilename"`
		} `json:"siblings"`
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, most)).Decode(&info); err != nil {
		return "", nil, fmt.Errorf("the hub's answer is not the description of a model: %w", err)
	}
	if !commitID.MatchString(info.SHA) {
		return "", nil, fmt.Errorf("the hub gives %q as commit", info.SHA)
	}
	for _, s := range info.Siblings {
		// The name becomes a path below the cache.
		if !filepath.IsLocal(filepath.FromSlash(s.Name)) || strings.ContainsAny(s.Name, "\\\x00") || path.Clean(s.Name) != s.Name {
			return "", nil, fmt.Errorf("the hub lists a file named %q", s.Name)
		}
		names = append(names, s.Name)
	}
	return info.SHA, names, nil
}

// wanted picks the files that a model needs: safetensors and what describes them, of the top folder and of the numbered
// ones of sentence-transformers. Where there are no safetensors, a single GGUF file. only names one file instead.
func wanted(names []string, only string) ([]string, error) {
	var keep, safetensors, ggufs []string
	for _, n := range names {
		if n == only {
			return []string{n}, nil
		}
		dir := path.Dir(n)
		top := dir == "." || strings.Contains(dir, "_") && dir[0] >= '0' && dir[0] <= '9'
		switch ext := path.Ext(n); {
		case !top:
		case ext == ".safetensors":
			safetensors = append(safetensors, n)
		case ext == ".gguf":
			ggufs = append(ggufs, n)
		case ext == ".json" || ext == ".jinja" || n == "vocab.txt" || n == "merges.txt":
			keep = append(keep, n)
		}
	}
	switch {
	case only != "":
		return nil, fmt.Errorf("it has no file %s", only)
	case len(safetensors) > 0:
		return append(keep, safetensors...), nil
	case len(ggufs) == 1:
		return append(keep, ggufs...), nil
	case len(ggufs) > 1:
		return nil, fmt.Errorf("it has several GGUF files: name one, as in organisation/model:%s (of %s)", ggufs[0], strings.Join(ggufs, ", "))
	}
	return nil, errors.New("it has neither safetensors nor GGUF files")
}

// link puts a blob into the snapshot under its name: a relative link, as Python's library makes it, or where the system
// makes no links a second name of the file.
func link(root, snapshot string, f file) error {
	to := filepath.Join(snapshot, filepath.FromSlash(f.name))
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	blob := filepath.Join(root, "blobs", f.hash)
	if st, err := os.Stat(to); err == nil {
		if b, err := os.Stat(blob); err == nil && os.SameFile(st, b) {
			return nil
		}
	}
	target, err := filepath.Rel(filepath.Dir(to), blob)
	if err != nil {
		return err
	}
	tmp := to + ".plumb-link"
	os.Remove(tmp) // left by a killed run
	if os.Symlink(target, tmp) != nil {
		if err := os.Link(blob, tmp); err != nil {
			return err
		}
	}
	return os.Rename(tmp, to)
}
