package run

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"
)

// tempPrefix marks files and folders that are still being written. A killed process leaves them behind; nothing reads them.
const tempPrefix = ".tmp-"

// WriteFile writes path as a whole or not at all: into a temporary file of the same folder, flushed to the disk, renamed, and
// the folder flushed. On any error (a full disk included) an earlier file of that name stays as it was.
func WriteFile(path string, write func(io.Writer) error) (err error) {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, tempPrefix+filepath.Base(path)+"-*")
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	tmp := f.Name()
	defer func() {
		if err != nil {
			f.Close() // a second Close only returns an error, and the first fault is the one to report
			os.Remove(tmp)
			err = fmt.Errorf("write %s: %w", path, err)
		}
	}()
	if err = write(f); err != nil {
		return err
	}
	if err = f.Chmod(0o644); err != nil { // CreateTemp gives 0600; other users may read results
		return err
	}
	if err = f.Sync(); err != nil {
		return err
	}
	if err = f.Close(); err != nil {
		return err
	}
	if err = os.Rename(tmp, path); err != nil {
		return err
	}
	return syncDir(dir)
}

// SweepFile removes what killed processes left of their attempts to write path. Nobody else may be writing it.
func SweepFile(path string) error {
	dir, base := filepath.Split(path)
	return sweep(filepath.Clean(dir+"."), func(of string) bool { return of == base })
}

// SweepFolder removes what killed processes left of their attempts to write files in dir. Nobody else may be writing there.
func SweepFolder(dir string) error { return sweep(dir, func(string) bool { return true }) }

// sweep removes the temporary files of dir that WriteFile made for files whose name is wanted.
func sweep(dir string, wanted func(of string) bool) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	for _, e := range entries {
		rest, ok := strings.CutPrefix(e.Name(), tempPrefix)
		if !ok || !e.Type().IsRegular() {
			continue
		}
		at := strings.LastIndexByte(rest, '-')
		if at > 0 && wanted(rest[:at]) && strings.Trim(rest[at+1:], "0123456789") == "" {
			err = errors.Join(err, os.Remove(filepath.Join(dir, e.Name())))
		}
	}
	return err
}

// syncDir flushes a folder's entries. Systems that cannot sync a folder say EINVAL; there the rename is all there is.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	err = d.Sync()
	cerr := d.Close()
	if err != nil && !errors.Is(err, errors.ErrUnsupported) && !isInvalid(err) {
		return err
	}
	return cerr
}

// HashFile returns the SHA-256 of a file's content in hex.
func HashFile(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", fmt.Errorf("read %s: %w", path, err)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// HashTree returns the content hash of a file (equal to HashFile) or of a folder: SHA-256 over the sorted relative names
// and contents of its files, following symbolic links to files (a hub's cache is made of them). Times, modes, and files still
// being written do not count.
func HashTree(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	if !info.IsDir() {
		return HashFile(path)
	}
	if path, err = filepath.EvalSymlinks(path); err != nil { // a walk does not enter a link
		return "", err
	}
	var names []string
	err = filepath.WalkDir(path, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if strings.HasPrefix(d.Name(), tempPrefix) {
			if d.IsDir() {
				return filepath.SkipDir
			}
			return nil
		}
		if d.IsDir() {
			return nil
		}
		names = append(names, p)
		return nil
	})
	if err != nil {
		return "", err
	}
	sort.Strings(names)
	h := sha256.New()
	for _, p := range names {
		rel, err := filepath.Rel(path, p)
		if err != nil {
			return "", err
		}
		sum, err := HashFile(p)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(h, "%s  %s\n", sum, filepath.ToSlash(rel))
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
