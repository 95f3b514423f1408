// Package hub finds models in the Hugging Face cache and downloads them into it, in the layout that Python's
// huggingface_hub writes and reads: blobs named after their hash, snapshots that link to them, refs that name a commit.
//
// It knows the hub's protocol and the cache; it must not know what is in a file.
package hub

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"sort"
	"strings"
)

// ErrNotCached says that a name is well formed and its model is not in the cache.
var ErrNotCached = errors.New("not in the Hugging Face cache")

// DefaultRevision is the branch that a name without revision means.
const DefaultRevision = "main"

var (
	repoName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,95}(/[A-Za-z0-9][A-Za-z0-9._-]{0,95})?$`)
	revName  = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._/-]{0,255}$`)
	commitID = regexp.MustCompile(`^[0-9a-f]{40}$`)
)

// IsName tells whether a string can be a model's name on the hub ("organisation/model", with "@revision" if wanted).
func IsName(s string) bool {
	_, _, err := split(s, "")
	return err == nil
}

// split takes "name@revision" apart; a revision given besides wins.
func split(name, revision string) (repo, rev string, err error) {
	repo, rev, _ = strings.Cut(name, "@")
	if revision != "" {
		rev = revision
	}
	if rev == "" {
		rev = DefaultRevision
	}
	if !repoName.MatchString(repo) || strings.Contains(repo, "..") || strings.Contains(repo, "--") {
		return "", "", fmt.Errorf("%q is not a model name of the hub: want organisation/model", name)
	}
	if !revName.MatchString(rev) || !filepath.IsLocal(filepath.FromSlash(rev)) || strings.Contains(rev, "..") {
		return "", "", fmt.Errorf("%q is not a revision: want a branch, a tag or a commit", rev)
	}
	return repo, rev, nil
}

// CacheDir is the folder of the cache: HF_HUB_CACHE, else HUGGINGFACE_HUB_CACHE (its old name), else HF_HOME/hub, else
// huggingface/hub in the user's cache folder.
func CacheDir() (string, error) {
	for _, env := range []string{"HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"} {
		if dir := os.Getenv(env); dir != "" {
			return dir, nil
		}
	}
	home, err := homeDir()
	if err != nil {
		return "", err
	}
	return filepath.Join(home, "hub"), nil
}

func homeDir() (string, error) {
	if dir := os.Getenv("HF_HOME"); dir != "" {
		return dir, nil
	}
	if dir := os.Getenv("XDG_CACHE_HOME"); dir != "" {
		return filepath.Join(dir, "huggingface"), nil
	}
	home, err := os.UserHomeDir() // Python's library takes ~/.cache on every system, so os.UserCacheDir is wrong here
	if err != nil {
		return "", fmt.Errorf("hub: no home folder for the cache (set HF_HOME): %w", err)
	}
	return filepath.Join(home, ".cache", "huggingface"), nil
}

func repoDir(cache, repo string) string {
	return filepath.Join(cache, "models--"+strings.ReplaceAll(repo, "/", "--"))
}

// Find is the folder of a model's files in the cache ("organisation/model" or "organisation/model@revision"); an error that
// wraps ErrNotCached when it is not there. It never uses the network.
func Find(name string) (string, error) {
	repo, rev, err := split(name, "")
	if err != nil {
		return "", err
	}
	cache, err := CacheDir()
	if err != nil {
		return "", err
	}
	dir := repoDir(cache, repo)
	commit := rev
	if b, err := os.ReadFile(filepath.Join(dir, "refs", filepath.FromSlash(rev))); err == nil {
		commit = strings.TrimSpace(string(b))
	}
	if commitID.MatchString(commit) {
		snapshot := filepath.Join(dir, "snapshots", commit)
		if st, err := os.Stat(snapshot); err == nil && st.IsDir() {
			return snapshot, nil
		}
	}
	return "", fmt.Errorf("%s (revision %s): %w at %s; `plumb models pull %s` fetches it", repo, rev, ErrNotCached, cache, name)
}

// Cached is one snapshot of the cache.
type Cached struct {
	Name, Revision, Commit, Dir string // Revision is empty when no ref names the commit
	Bytes                       int64
}

// List is every model snapshot of the cache, sorted by name, revision and commit.
func List() ([]Cached, error) {
	cache, err := CacheDir()
	if err != nil {
		return nil, err
	}
	dirs, err := os.ReadDir(cache)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("hub: %w", err)
	}
	var out []Cached
	for _, d := range dirs {
		name, ok := strings.CutPrefix(d.Name(), "models--")
		if !ok {
			continue
		}
		root := filepath.Join(cache, d.Name())
		refs := map[string][]string{}
		filepath.WalkDir(filepath.Join(root, "refs"), func(p string, e fs.DirEntry, err error) error {
			if err == nil && !e.IsDir() {
				if b, err := os.ReadFile(p); err == nil {
					rev, _ := filepath.Rel(filepath.Join(root, "refs"), p)
					commit := strings.TrimSpace(string(b))
					refs[commit] = append(refs[commit], filepath.ToSlash(rev))
				}
			}
			return nil // what cannot be read is not listed
		})
		snapshots, _ := os.ReadDir(filepath.Join(root, "snapshots"))
		for _, s := range snapshots {
			c := Cached{Name: strings.Replace(name, "--", "/", 1), Commit: s.Name(), Dir: filepath.Join(root, "snapshots", s.Name())}
			c.Bytes = size(c.Dir)
			names := refs[s.Name()]
			if len(names) == 0 {
				names = []string{""}
			}
			for _, c.Revision = range names {
				out = append(out, c)
			}
		}
	}
	sort.Slice(out, func(a, b int) bool {
		x, y := out[a], out[b]
		return x.Name+"\x00"+x.Revision+"\x00"+x.Commit < y.Name+"\x00"+y.Revision+"\x00"+y.Commit
	})
	return out, nil
}

func size(dir string) (n int64) {
	filepath.WalkDir(dir, func(p string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			if st, err := os.Stat(p); err == nil { // through the link
				n += st.Size()
			}
		}
		return nil
	})
	return n
}
