package hub

import (
	"context"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// file is one file of a commit. hash is its SHA-256 (large files), or the SHA-1 that git gives a blob of that content.
type file struct {
	name, url, hash string
	size            int64
}

var blobHash = regexp.MustCompile(`^([0-9a-f]{40}|[0-9a-f]{64})$`)

// statusError is an answer that is no success.
type statusError struct {
	code    int
	message string
}

func (e *statusError) Error() string { return e.message }

// get sends a request, following redirects, and returns a successful answer: 200, or 206 when from > 0 asks for the rest of a
// file. The token goes to the endpoint only.
func (c *client) get(ctx context.Context, method, address string, from int64) (*http.Response, error) {
	for range 10 {
		resp, err := c.once(ctx, method, address, from)
		if err != nil {
			return nil, err
		}
		switch code := resp.StatusCode; {
		case code == http.StatusOK || code == http.StatusPartialContent && from > 0:
			return resp, nil
		case code >= 300 && code < 400:
			resp.Body.Close()
			next, err := resp.Request.URL.Parse(resp.Header.Get("Location"))
			if err != nil || resp.Header.Get("Location") == "" {
				return nil, fmt.Errorf("answer %s leads nowhere", resp.Status)
			}
			if resp.Request.URL.Scheme == "https" && next.Scheme != "https" {
				return nil, fmt.Errorf("refused: a redirect to the insecure %s", next.Redacted())
			}
			address = next.String()
		default:
			defer resp.Body.Close()
			return nil, explain(resp, c.token != "")
		}
	}
	return nil, errors.New("more than 10 redirects")
}

func (c *client) once(ctx context.Context, method, address string, from int64) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, address, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("User-Agent", "plumb")
	req.Header.Set("Accept-Encoding", "identity") // a compressed body has neither the size nor the ranges of the file
	if from > 0 {
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", from))
	}
	if home, err := url.Parse(c.endpoint); c.token != "" && err == nil && req.URL.Host == home.Host && req.URL.Scheme == home.Scheme {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	return c.http.Do(req)
}

// explain turns a refusal into what its reader can do about it.
func explain(resp *http.Response, hasToken bool) error {
	reason := resp.Header.Get("X-Error-Message")
	if reason == "" {
		reason = resp.Status
	}
	var hint string
	switch code := resp.Header.Get("X-Error-Code"); {
	case code == "GatedRepo":
		hint = "accept the model's conditions on its page, then set HF_TOKEN"
	case code == "RevisionNotFound":
		hint = "no such revision"
	case code == "EntryNotFound":
		hint = "no such file"
	case code == "RepoNotFound", resp.StatusCode == http.StatusUnauthorized, resp.StatusCode == http.StatusForbidden:
		if hint = "no such model, or it is private: set HF_TOKEN"; hasToken {
			hint = "no such model, or the token given may not read it"
		}
	case resp.StatusCode == http.StatusNotFound:
		hint = "no such model or revision"
	}
	if hint != "" {
		reason = hint + " (" + reason + ")"
	}
	return &statusError{resp.StatusCode, reason}
}

// patience is how many failures in a row a request is worth.
const patience = 5

// final tells whether trying again is pointless: the hub has answered, and not with its own trouble.
func final(err error) bool {
	var refused *statusError
	return errors.As(err, &refused) && refused.code < 500 && refused.code != http.StatusTooManyRequests
}

// retry repeats a short request while the network or the hub is in trouble.
func (c *client) retry(ctx context.Context, request func() error) error {
	for attempt := 0; ; attempt++ {
		err := request()
		if err == nil || ctx.Err() != nil || final(err) || attempt+1 == patience {
			return err
		}
		if err := c.wait(ctx, attempt); err != nil {
			return err
		}
	}
}

// head asks for a file's hash, size and address. The hub's first answer names them, also when it redirects to a store.
func (c *client) head(ctx context.Context, repo, commit, name string) (file, error) {
	segments := strings.Split(name, "/")
	for i, s := range segments {
		segments[i] = url.PathEscape(s)
	}
	f := file{name: name, url: c.endpoint + "/" + repo + "/resolve/" + commit + "/" + strings.Join(segments, "/")}
	address := f.url
	for range 10 {
		resp, err := c.once(ctx, http.MethodHead, address, 0)
		if err != nil {
			return f, err
		}
		resp.Body.Close()
		etag, length := resp.Header.Get("X-Linked-Etag"), resp.Header.Get("X-Linked-Size")
		redirect := resp.StatusCode >= 300 && resp.StatusCode < 400
		if etag == "" && redirect { // a renamed repository
			next, err := resp.Request.URL.Parse(resp.Header.Get("Location"))
			if err != nil || next.Host != resp.Request.URL.Host {
				return f, fmt.Errorf("answer %s names no hash", resp.Status)
			}
			address = next.String()
			continue
		}
		if resp.StatusCode >= 400 {
			return f, explain(resp, c.token != "")
		}
		if etag == "" {
			etag = resp.Header.Get("ETag")
		}
		if length == "" && !redirect {
			length = strconv.FormatInt(resp.ContentLength, 10)
		}
		f.hash = strings.Trim(strings.TrimPrefix(etag, "W/"), `"`)
		if !blobHash.MatchString(f.hash) {
			return f, fmt.Errorf("the hub gives %q as hash: the file could not be checked", etag)
		}
		if f.size, err = strconv.ParseInt(length, 10, 64); err != nil || f.size < 0 {
			return f, fmt.Errorf("the hub gives %q as size", length)
		}
		return f, nil
	}
	return f, errors.New("more than 10 redirects")
}

// fetch brings a file's blob into the cache. Bytes go to blobs/HASH.incomplete, which a later call continues; only a file of
// the right hash is renamed to blobs/HASH. A lock, the one Python's library takes, keeps two processes apart.
func (c *client) fetch(ctx context.Context, root string, f file, progress func(int64)) error {
	blob := filepath.Join(root, "blobs", f.hash)
	if st, err := os.Stat(blob); err == nil && st.Size() == f.size {
		progress(f.size)
		return nil
	}
	locks := filepath.Join(filepath.Dir(root), ".locks", filepath.Base(root))
	for _, dir := range []string{filepath.Dir(blob), locks} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	unlock, err := lock(ctx, filepath.Join(locks, f.hash+".lock"))
	if err != nil {
		return err
	}
	defer unlock()
	if st, err := os.Stat(blob); err == nil && st.Size() == f.size { // another process was faster
		progress(f.size)
		return nil
	}
	out, err := os.OpenFile(blob+".incomplete", os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	defer out.Close()
	if err := c.complete(ctx, out, f, progress); err != nil {
		return err
	}
	if err := out.Sync(); err != nil {
		return err
	}
	return os.Rename(out.Name(), blob)
}

// complete fills out with f's content and checks it. Failures on the way are retried from where they happened as long as
// something arrives between them; damage found in resumed bytes costs one start from nothing.
func (c *client) complete(ctx context.Context, out *os.File, f file, progress func(int64)) error {
	have, err := out.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	if have > f.size { // not this file's beginning
		if have, err = restart(out); err != nil {
			return err
		}
	}
	resumed := have > 0
	progress(have)
	for failures := 0; have < f.size; {
		n, err := c.append(ctx, out, have, f, progress)
		have += n
		if err == nil && have < f.size {
			err = io.ErrUnexpectedEOF
		}
		if err == nil {
			break
		}
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, errNoRange):
			progress(-have)
			if have, err = restart(out); err != nil {
				return err
			}
			failures++
		case final(err):
			return err
		case n > 0:
			failures = 1
		default:
			failures++
		}
		if failures >= patience {
			return fmt.Errorf("given up after %d failures (%d of %d bytes are kept for the next try): %w", failures, have, f.size, err)
		}
		if err := c.wait(ctx, failures-1); err != nil {
			return err
		}
	}
	err = verify(out, f)
	if err == nil {
		return nil
	}
	progress(-have)
	if _, rerr := restart(out); rerr != nil { // what is wrong must not be resumed
		return rerr
	}
	if resumed {
		return c.complete(ctx, out, f, progress)
	}
	return err
}

func restart(out *os.File) (int64, error) {
	if err := out.Truncate(0); err != nil {
		return 0, err
	}
	return out.Seek(0, io.SeekStart)
}

// errNoRange says that a server will not continue where the file on disk ends.
var errNoRange = errors.New("the server does not resume")

// append requests the bytes from have on and writes what arrives; n is how many did, also beside an error.
func (c *client) append(ctx context.Context, out *os.File, have int64, f file, progress func(int64)) (n int64, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	resp, err := c.get(ctx, http.MethodGet, f.url, have)
	if err != nil {
		var refused *statusError
		if errors.As(err, &refused) && refused.code == http.StatusRequestedRangeNotSatisfiable {
			return 0, errNoRange
		}
		return 0, err
	}
	defer resp.Body.Close()
	if have > 0 {
		want := fmt.Sprintf("bytes %d-", have)
		if resp.StatusCode != http.StatusPartialContent || !strings.HasPrefix(resp.Header.Get("Content-Range"), want) {
			return 0, errNoRange
		}
	}
	stalled := time.AfterFunc(c.stall, func() { cancel(fmt.Errorf("nothing arrived for %s", c.stall)) })
	defer stalled.Stop()
	buf := make([]byte, 1<<17)
	for {
		k, err := resp.Body.Read(buf)
		stalled.Reset(c.stall)
		if k > 0 {
			if n+have+int64(k) > f.size {
				return n, fmt.Errorf("the server sends more than the %d bytes it announced", f.size)
			}
			if _, err := out.Write(buf[:k]); err != nil {
				return n, err
			}
			n += int64(k)
			progress(int64(k))
		}
		if err == io.EOF {
			return n, nil
		}
		if err != nil {
			if cause := context.Cause(ctx); cause != nil {
				err = cause
			}
			return n, err
		}
	}
}

// verify compares a whole file with the hash that names it.
func verify(out *os.File, f file) error {
	if _, err := out.Seek(0, io.SeekStart); err != nil {
		return err
	}
	var h hash.Hash
	if len(f.hash) == 2*sha256.Size {
		h = sha256.New()
	} else {
		h = sha1.New()
		fmt.Fprintf(h, "blob %d\x00", f.size) // how git names a blob
	}
	if _, err := io.Copy(h, out); err != nil {
		return err
	}
	if got := hex.EncodeToString(h.Sum(nil)); got != f.hash {
		return fmt.Errorf("damaged: its hash is %s, expected %s", got, f.hash)
	}
	return nil
}
