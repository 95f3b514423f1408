package dedup

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"math"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/qdrant/go-client/qdrant"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// realServer opens a collection on the server that QDRANT_URL names, and deletes it after the test.
func realServer(t *testing.T, collection string, dim int, opt QdrantOptions) *Qdrant {
	t.Helper()
	address := os.Getenv("QDRANT_URL")
	if address == "" {
		t.Skip("set QDRANT_URL=qdrant://host:6334 to test with a real server")
	}
	opt.KeyLookup = nil
	q, err := OpenQdrant(context.Background(), strings.TrimRight(address, "/")+"/"+collection, "model", dim, opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := q.client.DeleteCollection(context.Background(), q.collection); err != nil {
			t.Error(err)
		}
		q.Close()
	})
	return q
}

func TestRealServerDecidesLikeEmbedded(t *testing.T) {
	in := plantedSet(6, 700)
	cfg := Defaults()
	cfg.MinHash.Enabled = false
	q := realServer(t, "plumb_test_decides", cfg.Vectors.Dim, quick)
	want, wantLedger, rep := runAll(t, cfg, in, Tools{})
	if rep.Vectors.Confirmed == 0 {
		t.Fatal("the vector stage found nothing")
	}
	for range 2 { // the second run finds every vector there
		got, ledger, rep := runAll(t, cfg, in, Tools{Store: q})
		if len(got) != len(want) || !bytes.Equal(ledger, wantLedger) {
			t.Errorf("Qdrant kept %d records, the embedded store %d, or their ledgers differ", len(got), len(want))
		}
		t.Logf("%d vectors added, %d stored", rep.Vectors.Added, rep.Vectors.Stored)
	}
}

// TestRealServerQuantisesAndFilters fills a sharded, quantised collection far enough for the server to build its graph.
func TestRealServerQuantisesAndFilters(t *testing.T) {
	const n, dim, k = 24000, 128, 10
	q := realServer(t, "plumb_test_shape?shards=3&quantize=int8&oversampling=3", dim, QdrantOptions{})
	ctx := context.Background()
	// A graph is built from 10 MB of vectors a segment on; ask for it sooner.
	if err := q.client.UpdateCollection(ctx, &qdrant.UpdateCollection{CollectionName: q.collection,
		OptimizersConfig: &qdrant.OptimizersConfigDiff{IndexingThreshold: qdrant.PtrOf(uint64(500))}}); err != nil {
		t.Fatal(err)
	}
	vectors := blobs(n+100, dim, 3)
	points := pointsOf(vectors[:n])
	for i := range points {
		points[i].Split, points[i].Length, points[i].Set = []string{"train", "test", "valid"}[i%3], i%500, "s"
	}
	if err := q.Upsert(ctx, points); err != nil {
		t.Fatal(err)
	}
	var info *qdrant.CollectionInfo
	for range 240 {
		var err error
		if info, err = q.client.GetCollectionInfo(ctx, q.collection); err != nil {
			t.Fatal(err)
		}
		if info.GetStatus() == qdrant.CollectionStatus_Green && info.GetIndexedVectorsCount() > n/2 {
			break
		}
		time.Sleep(500 * time.Millisecond)
	}
	t.Logf("%d points, %d of them in the graph, %d segments", info.GetPointsCount(), info.GetIndexedVectorsCount(), info.GetSegmentsCount())
	if info.GetIndexedVectorsCount() < n/2 {
		t.Error("the server built no graph")
	}
	p := info.GetConfig().GetParams()
	if p.GetShardNumber() != 3 || info.GetConfig().GetQuantizationConfig().GetScalar().GetType() != qdrant.QuantizationType_Int8 {
		t.Errorf("the server made %v", info.GetConfig())
	}
	schema := info.GetPayloadSchema()
	if schema["split"].GetDataType() != qdrant.PayloadSchemaType_Keyword || schema["set"].GetDataType() != qdrant.PayloadSchemaType_Keyword ||
		schema["length"].GetDataType() != qdrant.PayloadSchemaType_Integer || schema["length"].GetPoints() != n {
		t.Errorf("payload indexes %v", schema)
	}
	e := openStore(t, filepath.Join(t.TempDir(), "v"), dim)
	defer e.Close()
	if err := e.Upsert(ctx, points); err != nil {
		t.Fatal(err)
	}
	for _, f := range []Filter{{}, {Splits: []string{"test"}}, {MinLength: 100, MaxLength: 199}, {Splits: []string{"test", "valid"}, MaxLength: 50, Set: "s"}, {Set: "other"}} {
		want, err := e.Scan(ctx, vectors[n:], k, f)
		if err != nil {
			t.Fatal(err)
		}
		exact, err := q.Scan(ctx, vectors[n:], k, f)
		if err != nil {
			t.Fatal(err)
		}
		got, err := q.Query(ctx, vectors[n:], k, f)
		if err != nil {
			t.Fatal(err)
		}
		for i := range want {
			if len(exact[i]) != len(want[i]) {
				t.Fatalf("%+v: query %d has %d neighbours, the embedded store's has %d", f, i, len(exact[i]), len(want[i]))
			}
			for j, w := range want[i] {
				if math.Abs(float64(exact[i][j].Score-w.Score)) > 1e-5 {
					t.Fatalf("%+v: query %d, neighbour %d scores %v, the embedded store's %v", f, i, j, exact[i][j], w)
				}
			}
			for _, h := range got[i] {
				if p := points[slices.IndexFunc(points, func(p Point) bool { return p.ID == h.ID })]; !f.match(p.Split, p.Length, p.Set) {
					t.Fatalf("%+v: a point of %s, %d, %s came through", f, p.Split, p.Length, p.Set)
				}
			}
		}
		recall := Recall(got, want)
		t.Logf("%+v: recall@%d of the quantised graph, rescored, %.4f", f, k, recall)
		if recall < 0.95 {
			t.Errorf("%+v: recall %.4f, want 0.95", f, recall)
		}
	}
	var mismatch *MismatchError
	address := strings.TrimRight(os.Getenv("QDRANT_URL"), "/") + "/plumb_test_shape"
	if _, err := OpenQdrant(ctx, address, "model", 2*dim, quick); !errors.As(err, &mismatch) || mismatch.What != "dimension" {
		t.Errorf("another dimension: %v", err)
	}
	if _, err := OpenQdrant(ctx, address, "other", dim, quick); !errors.As(err, &mismatch) || mismatch.What != "model" {
		t.Errorf("another model: %v", err)
	}
}

func TestRealServerWithAnotherDistanceIsRefused(t *testing.T) {
	q := realServer(t, "plumb_test_distance", 8, quick)
	ctx := context.Background()
	const name = "plumb_test_dot"
	if err := q.client.CreateCollection(ctx, &qdrant.CreateCollection{CollectionName: name,
		VectorsConfig: qdrant.NewVectorsConfig(&qdrant.VectorParams{Size: 8, Distance: qdrant.Distance_Dot})}); err != nil {
		t.Fatal(err)
	}
	defer q.client.DeleteCollection(ctx, name)
	var mismatch *MismatchError
	if _, err := OpenQdrant(ctx, strings.TrimRight(os.Getenv("QDRANT_URL"), "/")+"/"+name, "model", 8, quick); !errors.As(err, &mismatch) || mismatch.What != "distance" {
		t.Errorf("a collection of dot products: %v", err)
	}
}

// server is a Qdrant process of the test's own, from the binary that QDRANT_BINARY names.
type server struct {
	t    *testing.T
	dir  string
	port int
	env  []string
	cmd  *exec.Cmd
}

func ownServer(t *testing.T, env ...string) *server {
	t.Helper()
	if os.Getenv("QDRANT_BINARY") == "" {
		t.Skip("set QDRANT_BINARY to a Qdrant server's program to test what only one's own server can show")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &server{t: t, dir: t.TempDir(), port: l.Addr().(*net.TCPAddr).Port}
	l.Close()
	s.env = append(os.Environ(), append(env, "QDRANT__SERVICE__HOST=127.0.0.1", fmt.Sprint("QDRANT__SERVICE__GRPC_PORT=", s.port),
		"QDRANT__SERVICE__HTTP_PORT=0", "QDRANT__TELEMETRY_DISABLED=true", "QDRANT__LOG_LEVEL=ERROR")...)
	s.start()
	t.Cleanup(s.kill)
	return s
}

func (s *server) start() {
	cmd := exec.Command(os.Getenv("QDRANT_BINARY"))
	cmd.Dir, cmd.Env = s.dir, s.env
	if err := cmd.Start(); err != nil {
		s.t.Error(err)
		return
	}
	s.cmd = cmd
}

// kill ends the process at once, as a crash would.
func (s *server) kill() {
	if s.cmd != nil {
		_ = s.cmd.Process.Kill()
		_ = s.cmd.Wait()
		s.cmd = nil
	}
}

func (s *server) address(scheme string) string {
	return fmt.Sprintf("%s://127.0.0.1:%d/c", scheme, s.port)
}

// tripwire calls f before upsert number n, counted from 1.
type tripwire struct {
	*Qdrant
	n int
	f func()
}

func (w *tripwire) Upsert(ctx context.Context, points []Point) error {
	if w.n--; w.n == 0 {
		w.f()
	}
	return w.Qdrant.Upsert(ctx, points)
}

// TestRunSurvivesAServerThatIsKilled kills a real server in the middle of the upload: a run waits for it to come back, and when it
// does not, the next run goes on from what was stored.
func TestRunSurvivesAServerThatIsKilled(t *testing.T) {
	s := ownServer(t)
	in := plantedSet(7, 400)
	cfg := Defaults()
	cfg.MinHash.Enabled, cfg.Vectors.Batch = false, 32
	want, wantLedger, _ := runAll(t, cfg, in, Tools{})
	ctx := context.Background()
	long := quick
	long.Retries, long.Backoff = 20, 500*time.Millisecond
	q, err := OpenQdrant(ctx, s.address("qdrant"), "model", cfg.Vectors.Dim, long)
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	back := make(chan bool)
	got, ledger, rep := runAll(t, cfg, in, Tools{Store: &tripwire{q, 5, func() {
		s.kill()
		go func() {
			time.Sleep(2 * time.Second)
			s.start()
			close(back)
		}()
	}}})
	<-back
	if len(got) != len(want) || !bytes.Equal(ledger, wantLedger) || rep.Vectors.Added != rep.Vectors.Stored {
		t.Errorf("with the server killed and started again %d records stay, want %d; %d added, %d stored", len(got), len(want), rep.Vectors.Added, rep.Vectors.Stored)
	}
	if err := q.client.DeleteCollection(ctx, "c"); err != nil {
		t.Fatal(err)
	}

	short := quick
	short.Retries, short.Backoff = 2, 10*time.Millisecond
	if q, err = OpenQdrant(ctx, s.address("qdrant"), "model", cfg.Vectors.Dim, short); err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	_, err = Run(ctx, cfg, Records(in), &sink{}, Tools{Store: &tripwire{q, 5, s.kill}})
	if err == nil || !strings.Contains(err.Error(), "no Qdrant answers") {
		t.Fatalf("a run without its server: %v", err)
	}
	s.start()
	if q, err = OpenQdrant(ctx, s.address("qdrant"), "model", cfg.Vectors.Dim, long); err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	before, err := q.Count(ctx)
	if err != nil {
		t.Fatal(err)
	}
	got, ledger, rep = runAll(t, cfg, in, Tools{Store: q})
	t.Logf("%d points outlived the kill, %d were added", before, rep.Vectors.Added)
	if before != 4*cfg.Vectors.Batch || rep.Vectors.Added+before != rep.Vectors.Stored || rep.Vectors.Reused != before {
		t.Errorf("%d points were there, want %d; %d reused, %d added, %d stored", before, 4*cfg.Vectors.Batch, rep.Vectors.Reused, rep.Vectors.Added, rep.Vectors.Stored)
	}
	if len(got) != len(want) || !bytes.Equal(ledger, wantLedger) {
		t.Errorf("after the restart %d records stay, want %d, or the ledgers differ", len(got), len(want))
	}
}

func TestRealServerWantsItsKeyOverTLS(t *testing.T) {
	cert, roots := selfSigned(t)
	dir := t.TempDir()
	key, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{"cert.pem": {Type: "CERTIFICATE", Bytes: cert.Certificate[0]}, "key.pem": {Type: "PRIVATE KEY", Bytes: key}} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s := ownServer(t, "QDRANT__SERVICE__API_KEY=open", "QDRANT__SERVICE__ENABLE_TLS=true", "QDRANT__TLS__CERT="+filepath.Join(dir, "cert.pem"), "QDRANT__TLS__KEY="+filepath.Join(dir, "key.pem"))
	ctx := context.Background()
	opt := quick
	opt.Retries, opt.Backoff = 20, 500*time.Millisecond
	opt.TLS = &tls.Config{RootCAs: roots}
	opt.KeyLookup = func() string { return "open" }
	q, err := OpenQdrant(ctx, s.address("qdrants"), "model", 8, opt)
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	if err := q.Upsert(ctx, []Point{{ID: 1, Vector: []float32{1, 0, 0, 0, 0, 0, 0, 0}}}); err != nil {
		t.Fatal(err)
	}
	opt.KeyLookup = func() string { return "wrong" }
	if _, err := OpenQdrant(ctx, s.address("qdrants"), "model", 8, opt); err == nil || !strings.Contains(err.Error(), "QDRANT_API_KEY") {
		t.Errorf("wrong key: %v", err)
	} else if c := status.Code(err); c != codes.Unauthenticated && c != codes.PermissionDenied {
		t.Errorf("wrong key: code %v", c)
	}
	short := opt
	short.Retries, short.Backoff = 1, time.Millisecond
	short.KeyLookup = func() string { return "open" }
	for what, f := range map[string]func() (*Qdrant, error){
		"without TLS": func() (*Qdrant, error) { return OpenQdrant(ctx, s.address("qdrant"), "model", 8, short) },
		"with an unknown issuer": func() (*Qdrant, error) {
			short.TLS = nil
			return OpenQdrant(ctx, s.address("qdrants"), "model", 8, short)
		},
	} {
		if q, err := f(); err == nil {
			q.Close()
			t.Errorf("%s: no error", what)
		} else if what != "without TLS" && !strings.Contains(err.Error(), "TLS fails") {
			t.Errorf("%s: %v", what, err)
		}
	}
}
