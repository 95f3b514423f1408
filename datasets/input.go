package datasets

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// input is one opened file: decompressed, its byte order mark taken off.
type input struct {
	file   *os.File
	buf    *bufio.Reader
	unpack io.Closer // the decompressor; nil for a plain file
	size   int64     // bytes on disk
	read   *countingReader
}

// countingReader counts the bytes taken from the disk, for progress over compressed files.
type countingReader struct {
	r io.Reader
	n int64
}

func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

var (
	magicGzip    = []byte{0x1f, 0x8b}
	magicZstd    = []byte{0x28, 0xb5, 0x2f, 0xfd}
	magicParquet = []byte("PAR1")
	magicArrow   = []byte("ARROW1")
	bomUTF8      = []byte{0xef, 0xbb, 0xbf}
)

// openInput opens a file and unpacks gzip and zstd by their magic numbers, not by the name.
func openInput(name string) (*input, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		return nil, fmt.Errorf("%s is a folder: a data file was expected", name)
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	in := &input{file: f, size: info.Size(), read: &countingReader{r: f}}
	in.buf = bufio.NewReaderSize(in.read, 1<<20)
	head, _ := in.buf.Peek(4)
	switch {
	case bytes.HasPrefix(head, magicGzip):
		z, err := gzip.NewReader(in.buf)
		if err != nil {
			f.Close()
			return nil, fmt.Errorf("%s: not a whole gzip file: %w", name, err)
		}
		in.unpack = z
		in.buf = bufio.NewReaderSize(z, 1<<20)
	case bytes.HasPrefix(head, magicZstd):
		z, err := zstd.NewReader(in.buf, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(1<<30))
		if err != nil {
			f.Close()
			return nil, fmt.Errorf("%s: not a whole zstd file: %w", name, err)
		}
		rc := z.IOReadCloser()
		in.unpack = rc
		in.buf = bufio.NewReaderSize(rc, 1<<20)
	}
	if err := in.checkEncoding(name); err != nil {
		in.Close()
		return nil, err
	}
	return in, nil
}

// checkEncoding takes off a UTF-8 byte order mark and refuses UTF-16 and UTF-32, which would otherwise be one broken line after another.
func (in *input) checkEncoding(name string) error {
	head, err := in.buf.Peek(4)
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("%s: %w", name, err)
	}
	wide := ""
	switch {
	case bytes.HasPrefix(head, bomUTF8):
		in.buf.Discard(len(bomUTF8))
		return nil
	case len(head) == 4 && head[0] == 0xff && head[1] == 0xfe && head[2] == 0 && head[3] == 0,
		len(head) == 4 && head[0] == 0 && head[1] == 0 && head[2] == 0xfe && head[3] == 0xff:
		wide = "UTF-32"
	case len(head) >= 2 && (head[0] == 0xff && head[1] == 0xfe || head[0] == 0xfe && head[1] == 0xff):
		wide = "UTF-16"
	case len(head) == 4 && (head[0] == 0 && head[2] == 0 && head[1] != 0 && head[3] != 0 ||
		head[1] == 0 && head[3] == 0 && head[0] != 0 && head[2] != 0):
		wide = "UTF-16 without a byte order mark"
	}
	if wide != "" {
		return fmt.Errorf("%s is encoded in %s: UTF-8 was expected (iconv -f UTF-16 -t UTF-8 converts it)", name, wide)
	}
	return nil
}

// Close closes decompressor and file.
func (in *input) Close() error {
	if in.unpack != nil {
		in.unpack.Close()
	}
	return in.file.Close()
}

// container is how rows lie in a file, apart from what they mean.
type container string

const (
	containerJSONL   container = "jsonl"
	containerJSON    container = "json"
	containerCSV     container = "csv"
	containerTSV     container = "tsv"
	containerArrow   container = "arrow"
	containerFeather container = "arrow-file"
	containerParquet container = "parquet"
)

// containerOf names the container that a path asks for; compression is "" or "gz" or "zst".
func containerOf(name string) (c container, compression string, err error) {
	base := strings.ToLower(filepath.Base(name))
	for _, suffix := range []string{".gz", ".zst"} {
		if strings.HasSuffix(base, suffix) {
			compression = suffix[1:]
			base = strings.TrimSuffix(base, suffix)
		}
	}
	switch path.Ext(base) {
	case ".jsonl", ".ndjson":
		c = containerJSONL
	case ".json":
		c = containerJSON
	case ".csv":
		c = containerCSV
	case ".tsv":
		c = containerTSV
	case ".arrow", ".arrows", ".ipc":
		c = containerArrow
	case ".feather":
		c = containerFeather
	case ".parquet":
		c = containerParquet
	default:
		return "", "", fmt.Errorf("%s: unknown extension %q: expected .arrow, .feather, .parquet, .jsonl, .json, .csv or .tsv (the text ones also with .gz or .zst)", name, path.Ext(base))
	}
	if compression != "" && (c == containerArrow || c == containerFeather || c == containerParquet) {
		return "", "", fmt.Errorf("%s: .%s is for text formats: Arrow and Parquet compress inside the file", name, compression)
	}
	return c, compression, nil
}

// sniffContainer finds the container of an opened input: by content where the content says it, else by the name.
func sniffContainer(name string, in *input) (container, error) {
	head, _ := in.buf.Peek(8)
	switch {
	case bytes.HasPrefix(head, magicParquet):
		return containerParquet, nil
	case bytes.HasPrefix(head, magicArrow):
		return containerFeather, nil
	case len(head) >= 4 && bytes.Equal(head[:4], []byte{0xff, 0xff, 0xff, 0xff}):
		return containerArrow, nil
	}
	byName, _, nameErr := containerOf(name)
	if nameErr == nil && (byName == containerCSV || byName == containerTSV) {
		return byName, nil
	}
	first := firstByte(in.buf)
	switch {
	case first == '[':
		return containerJSON, nil
	case first == '{' && (nameErr != nil || byName != containerJSON):
		return containerJSONL, nil
	case first == '{':
		return sniffObject(in.buf), nil
	}
	if nameErr != nil {
		return "", nameErr
	}
	if byName == containerArrow || byName == containerFeather || byName == containerParquet {
		if len(head) == 0 {
			return "", fmt.Errorf("%s is empty: not even an Arrow or Parquet header is in it", name)
		}
		return "", fmt.Errorf("%s does not start as an Arrow or Parquet file does", name)
	}
	return byName, nil
}

// firstByte is the first byte that is not white space, without taking it.
func firstByte(r *bufio.Reader) byte {
	for n := 64; ; n *= 8 {
		head, err := r.Peek(n)
		if t := bytes.TrimLeft(head, " \t\r\n"); len(t) > 0 {
			return t[0]
		}
		if err != nil || n > 1<<18 {
			return 0
		}
	}
}

// sniffObject tells a .json file that is really JSON lines (very common) from one that is a single object: in the first, a line ends
// where the first object ends.
func sniffObject(r *bufio.Reader) container {
	head, _ := r.Peek(1 << 20)
	line, _, found := bytes.Cut(bytes.TrimLeft(head, " \t\r\n"), []byte("\n"))
	line = bytes.TrimRight(line, " \t\r")
	if !found || (len(line) < 2 || line[len(line)-1] != '}' || !jsonValid(line)) {
		return containerJSON
	}
	return containerJSONL
}

// SourceNames gives each path the name under which its rows are known: the last element, or as many elements as it takes to tell two
// files of the same name apart. So ids and hashes do not depend on the folder a data set happens to be in.
func SourceNames(paths []string) []string {
	parts := make([][]string, len(paths))
	names := make([]string, len(paths))
	depth := make([]int, len(paths))
	for i, p := range paths {
		parts[i] = strings.Split(strings.Trim(filepath.ToSlash(filepath.Clean(p)), "/"), "/")
		depth[i] = 1
	}
	for {
		seen := map[string][]int{}
		for i := range paths {
			names[i] = strings.Join(parts[i][max(0, len(parts[i])-depth[i]):], "/")
			seen[names[i]] = append(seen[names[i]], i)
		}
		grown := false
		for _, same := range seen {
			if len(same) < 2 {
				continue
			}
			for _, i := range same {
				if depth[i] < len(parts[i]) {
					depth[i]++
					grown = true
				}
			}
		}
		if !grown {
			return names
		}
	}
}
