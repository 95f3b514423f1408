package dedup

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"math"
	"math/big"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/qdrant/go-client/qdrant"

	"plumb/dedup/qdranttest"
	"plumb/internal/run"
	"plumb/internal/testpaths"
)

var quick = QdrantOptions{Exact: true, Batch: 32, Retries: 12, Backoff: 20 * time.Millisecond, KeyLookup: func() string { return "" }}

func openDouble(t *testing.T, s *qdranttest.Server, path string, dim int, opt QdrantOptions) *Qdrant {
	t.Helper()
	q, err := OpenQdrant(context.Background(), "qdrant://"+s.Addr+"/"+path, "model", dim, opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { q.Close() })
	return q
}

type qdrantGolden struct {
	Dim    int
	Points []struct {
		ID         uint64
		Vector     []float32
		Split, Set string
		Length     int
	}
	Queries []struct {
		Vector []float32
		K      int
		Filter struct {
			Splits   []string
			Min, Max int
			Set      string
		}
		Hits []struct {
			ID    uint64
			Score float64
		}
	}
}

// checkGolden holds a store's answers equal to those of qdrant-client's local mode.
func checkGolden(t *testing.T, s Store, g *qdrantGolden) {
	t.Helper()
	ctx := context.Background()
	var points []Point
	for _, p := range g.Points {
		points = append(points, Point{p.ID, p.Vector, p.Split, p.Length, p.Set})
	}
	if err := s.Upsert(ctx, points); err != nil {
		t.Fatal(err)
	}
	if n, err := s.Count(ctx); err != nil || n != len(points) {
		t.Fatalf("count is %d, %v, want %d", n, err, len(points))
	}
	for i, q := range g.Queries {
		got, err := s.Query(ctx, [][]float32{q.Vector}, q.K, Filter{Splits: q.Filter.Splits, MinLength: q.Filter.Min, MaxLength: q.Filter.Max, Set: q.Filter.Set})
		if err != nil {
			t.Fatal(err)
		}
		if len(got[0]) != len(q.Hits) {
			t.Fatalf("query %d: %d hits, want %d", i, len(got[0]), len(q.Hits))
		}
		for j, h := range q.Hits {
			if n := got[0][j]; n.ID != h.ID || math.Abs(float64(n.Score)-h.Score) > 1e-6 {
				t.Errorf("query %d, hit %d: %+v, want %+v", i, j, n, h)
			}
		}
	}
}

func readGolden(t *testing.T) *qdrantGolden {
	t.Helper()
	b, err := os.ReadFile(testpaths.Oracle(t, "qdrant", "memory.json"))
	if err != nil {
		t.Fatal(err)
	}
	g := new(qdrantGolden)
	if err := json.Unmarshal(b, g); err != nil {
		t.Fatal(err)
	}
	return g
}

func TestDoubleAnswersLikeTheLocalMode(t *testing.T) {
	g := readGolden(t)
	checkGolden(t, openDouble(t, qdranttest.Start(t, qdranttest.Options{}), "c", g.Dim, quick), g)
}

func TestEmbeddedAnswersLikeTheLocalMode(t *testing.T) {
	g := readGolden(t)
	s, err := OpenEmbedded(t.TempDir()+"/v", "model", g.Dim)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	checkGolden(t, s, g)
}

func TestRealServerAnswersLikeTheLocalMode(t *testing.T) {
	address := os.Getenv("QDRANT_URL")
	if address == "" {
		t.Skip("set QDRANT_URL=qdrant://host:6334 to test with a real server")
	}
	g := readGolden(t)
	opt := quick
	opt.KeyLookup = nil
	name := "plumb_test_golden"
	q, err := OpenQdrant(context.Background(), strings.TrimRight(address, "/")+"/"+name, "model", g.Dim, opt)
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	defer q.client.DeleteCollection(context.Background(), name)
	checkGolden(t, q, g)
}

func TestQdrantCollectionIsShapedAndChecked(t *testing.T) {
	s := qdranttest.Start(t, qdranttest.Options{})
	q := openDouble(t, s, "c?shards=3&replicas=2&quantize=int8&oversampling=4", 8, QdrantOptions{KeyLookup: quick.KeyLookup})
	c := s.Created("c")
	if c.GetShardNumber() != 3 || c.GetReplicationFactor() != 2 || c.GetQuantizationConfig().GetScalar().GetType() != qdrant.QuantizationType_Int8 {
		t.Errorf("created with %v", c)
	}
	if q.oversample != 4 || !q.Approximate() {
		t.Errorf("oversampling %v, approximate %v, want 4, true", q.oversample, q.Approximate())
	}
	index := s.Indexes("c")
	if index["split"] != qdrant.FieldType_FieldTypeKeyword || index["length"] != qdrant.FieldType_FieldTypeInteger || len(index) != 3 {
		t.Errorf("indexes %v", index)
	}
	ctx := context.Background()
	var mismatch *MismatchError
	if _, err := OpenQdrant(ctx, "qdrant://"+s.Addr+"/c", "model", 16, quick); !errors.As(err, &mismatch) || mismatch.What != "dimension" {
		t.Errorf("another dimension: %v", err)
	}
	if _, err := OpenQdrant(ctx, "qdrant://"+s.Addr+"/c", "other", 8, quick); !errors.As(err, &mismatch) || mismatch.What != "model" {
		t.Errorf("another model: %v", err)
	}
	for _, bad := range []string{"qdrant://host:6334", "qdrant://user:secret@host/c", "http://host/c", "qdrant://host/c?shards=0", "qdrant://host/c?quantise=int8"} {
		if _, err := OpenQdrant(ctx, bad, "m", 8, quick); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

func TestQdrantKeyAndTLS(t *testing.T) {
	cert, roots := selfSigned(t)
	s := qdranttest.Start(t, qdranttest.Options{APIKey: "open", TLS: &tls.Config{Certificates: []tls.Certificate{cert}}})
	opt := quick
	opt.TLS = &tls.Config{RootCAs: roots}
	opt.KeyLookup = func() string { return "wrong" }
	ctx := context.Background()
	if _, err := OpenQdrant(ctx, "qdrants://"+s.Addr+"/c", "model", 8, opt); err == nil || !strings.Contains(err.Error(), "QDRANT_API_KEY") {
		t.Errorf("wrong key: %v", err)
	}
	opt.KeyLookup = func() string { return "open" }
	stranger := opt
	stranger.TLS, stranger.Retries, stranger.Backoff = nil, 1, time.Millisecond
	if _, err := OpenQdrant(ctx, "qdrants://"+s.Addr+"/c", "model", 8, stranger); err == nil || !strings.Contains(err.Error(), "TLS fails") {
		t.Errorf("a certificate that nobody knows: %v", err)
	}
	q, err := OpenQdrant(ctx, "qdrants://"+s.Addr+"/c", "model", 8, opt)
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	if n, err := q.Count(ctx); err != nil || n != 0 {
		t.Errorf("count %d, %v", n, err)
	}
}

func selfSigned(t *testing.T) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Unix(0, 0), NotAfter: time.Unix(1<<33, 0)}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, roots
}

func TestUnreachableQdrantIsAClearError(t *testing.T) {
	opt := quick
	opt.Retries, opt.Backoff = 1, time.Millisecond
	_, err := OpenQdrant(context.Background(), "qdrant://127.0.0.1:1/c", "model", 8, opt)
	if err == nil || !strings.Contains(err.Error(), "no Qdrant answers") {
		t.Errorf("got %v", err)
	}
}

// TestQdrantDecidesLikeEmbedded holds the two stores to the same output, byte by byte.
func TestQdrantDecidesLikeEmbedded(t *testing.T) {
	in := plantedSet(6, 700)
	cfg := Defaults()
	cfg.MinHash.Enabled = false // leaves the work to the vectors
	want, wantLedger, rep := runAll(t, cfg, in, Tools{})
	if rep.Vectors.Confirmed == 0 {
		t.Fatal("the vector stage found nothing")
	}
	s := qdranttest.Start(t, qdranttest.Options{})
	got, ledger, _ := runAll(t, cfg, in, Tools{Store: openDouble(t, s, "c", cfg.Vectors.Dim, quick)})
	if len(got) != len(want) || !bytes.Equal(ledger, wantLedger) {
		t.Errorf("Qdrant kept %d records, the embedded store %d, or their ledgers differ", len(got), len(want))
	}
}

func TestRunSurvivesAServerThatDisappears(t *testing.T) {
	in := plantedSet(7, 400)
	cfg := Defaults()
	cfg.MinHash.Enabled, cfg.Vectors.Batch = false, 32
	want, _, _ := runAll(t, cfg, in, Tools{})
	s := qdranttest.Start(t, qdranttest.Options{})
	q := openDouble(t, s, "c", cfg.Vectors.Dim, quick)

	s.FailCalls(7, 3) // busy for three calls: retried within the run
	got, _, _ := runAll(t, cfg, in, Tools{Store: q})
	if len(got) != len(want) {
		t.Errorf("after three failed calls %d records stay, want %d", len(got), len(want))
	}

	// Gone for good in the middle of the upload: the run ends with an error, the next one adds only what is missing.
	short := quick
	short.Retries, short.Backoff = 1, time.Millisecond
	q2 := openDouble(t, s, "d", cfg.Vectors.Dim, short)
	s.FailCalls(6, 1<<30)
	if _, err := Run(context.Background(), cfg, Records(in), &sink{}, Tools{Store: q2}); err == nil {
		t.Fatal("a run without its server ended well")
	}
	s.Stop()
	s.FailCalls(-1, 0)
	if err := s.Resume(); err != nil {
		t.Fatal(err)
	}
	before, err := q2.Count(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	got, _, rep := runAll(t, cfg, in, Tools{Store: q2})
	if before == 0 || rep.Vectors.Added+before != rep.Vectors.Stored {
		t.Errorf("%d points were there, %d added, %d stored", before, rep.Vectors.Added, rep.Vectors.Stored)
	}
	if len(got) != len(want) {
		t.Errorf("after the restart %d records stay, want %d", len(got), len(want))
	}
}

// TestQdrantBatchesFitMessages sends more than the client's and server's default limits hold.
func TestQdrantBatchesFitMessages(t *testing.T) {
	s := qdranttest.Start(t, qdranttest.Options{})
	opt := quick
	opt.Batch = 65536
	const dim = 1024
	q := openDouble(t, s, "c", dim, opt)
	rng := run.Rand(1, "test vectors")
	points := make([]Point, 9000)
	for i := range points {
		v := make([]float32, dim)
		for j := range 8 {
			v[(i*7+j*13)%dim] = rng.Float32()
		}
		points[i] = Point{ID: uint64(i), Vector: v}
	}
	ctx := context.Background()
	if err := q.Upsert(ctx, points); err != nil {
		t.Fatal(err)
	}
	if n := s.Calls("Upsert"); n < 3 {
		t.Errorf("%d requests for 37 MB of vectors, want at least 3", n)
	}
	ids := make([]uint64, len(points)+1)
	for i := range ids {
		ids[i] = uint64(i)
	}
	has, err := q.Vectors(ctx, ids)
	if err != nil {
		t.Fatal(err)
	}
	for i, p := range points {
		if unit(p.Vector); !slices.Equal(has[i], p.Vector) {
			t.Fatalf("vector %d came back changed", i)
		}
	}
	if has[len(points)] != nil {
		t.Error("a point that is not stored has a vector")
	}
}
