// Command embed is our side of the embedding comparison: it encodes a file of texts and prints tokens a second as JSON.
//
//	go build -o bench/work/embed ./bench/embed
package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"time"

	"plumb/internal/kernels"
	"plumb/internal/model"
)

func main() {
	path := flag.String("model", "", "folder of the encoder")
	file := flag.String("texts", "", "JSON strings, one a line")
	out := flag.String("vectors", "", "file for the vectors, little-endian float32")
	compute := flag.String("compute", "f32", "f32, bf16 or int16")
	length := flag.Int("length", 256, "tokens that a text is cut at")
	repeat := flag.Int("repeat", 2, "passes; the best counts")
	flag.Parse()
	if err := measure(*path, *file, *out, *compute, *length, *repeat); err != nil {
		log.Fatal(err)
	}
}

func measure(path, file, out, compute string, length, repeat int) error {
	c, err := kernels.ParseCompute(compute)
	if err != nil {
		return err
	}
	e, err := model.OpenEncoder(path, model.Options{Compute: c})
	if err != nil {
		return err
	}
	e.MaxLen = length
	texts, err := read(file)
	if err != nil {
		return err
	}
	tokens := 0
	for _, t := range texts {
		tokens += len(e.Tokenizer.EncodeSpecial(t, length))
	}
	ctx := context.Background()
	if _, err := e.Embed(ctx, texts[:min(32, len(texts))]); err != nil {
		return err
	}
	var vectors [][]float32
	var seconds []float64
	best := 0.0
	for range max(repeat, 1) {
		start := time.Now()
		if vectors, err = e.Embed(ctx, texts); err != nil {
			return err
		}
		s := time.Since(start).Seconds()
		seconds, best = append(seconds, s), max(best, float64(tokens)/s)
	}
	if err := write(out, vectors); err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(map[string]any{"work": "embed", "texts": len(texts), "tokens": tokens, "compute": compute,
		"kernel": kernels.Active().String(), "seconds": seconds, "rate": best})
}

func read(path string) (texts []string, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	d := json.NewDecoder(f)
	for {
		var s string
		switch err := d.Decode(&s); {
		case errors.Is(err, io.EOF):
			return texts, nil
		case err != nil:
			return nil, fmt.Errorf("%s: text %d: %w", path, len(texts)+1, err)
		}
		texts = append(texts, s)
	}
}

func write(path string, vectors [][]float32) error {
	if path == "" {
		return nil
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	w := bufio.NewWriter(f)
	for _, v := range vectors {
		if err := binary.Write(w, binary.LittleEndian, v); err != nil {
			return errors.Join(err, f.Close())
		}
	}
	return errors.Join(w.Flush(), f.Close())
}
