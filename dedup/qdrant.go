package dedup

import (
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/qdrant/go-client/qdrant"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// QdrantOptions are what the address of a collection does not say.
type QdrantOptions struct {
	Exact     bool          // search every vector; otherwise the server's HNSW graph
	Batch     int           // points of an upsert, vectors of a query; cut further to fit a message
	TLS       *tls.Config   // for qdrants://; nil is the system's roots and TLS 1.2 or newer
	Retries   uint          // of a call that found the server gone or busy; 0: 10, some half a minute in all
	Backoff   time.Duration // before the first retry, doubled from there; 0: 200 ms
	PoolSize  uint          // connections; 0: 3
	KeyLookup func() string // the API key; nil reads QDRANT_API_KEY. A key never stands in an address or a config
}

const (
	qdrantMessage = 256 << 20 // bytes that may arrive; the client's own limit is 4 MB, less than one batch of answers
	qdrantSend    = 16 << 20  // bytes of vectors in one request; servers take 32 MB unless told otherwise
	modelField    = "plumb_model"
	fieldSplit    = "split"
	fieldLength   = "length"
	fieldSet      = "set"
)

// Qdrant is a Store in a Qdrant collection.
type Qdrant struct {
	client     *qdrant.Client
	address    string
	collection string
	opt        QdrantOptions
	dim        int
	floats     bool    // vectors are kept as they were sent
	oversample float64 // of quantised searches, before the server rescores; 0: not quantised
}

// OpenQdrant connects to qdrant://host:port/collection (qdrants:// with TLS) and creates the collection when it is not
// there. Of the address's query, shards and replicas shape a new collection; quantize=int8 keeps 8-bit vectors in the server's
// memory and the floats on its disk, oversampling (2) of them are rescored. Vectors of another dimension or model are a
// *MismatchError.
func OpenQdrant(ctx context.Context, address, model string, dim int, opt QdrantOptions) (*Qdrant, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	name := strings.Trim(u.Path, "/")
	if u.Scheme != "qdrant" && u.Scheme != "qdrants" || u.Hostname() == "" || name == "" || strings.Contains(name, "/") || u.User != nil {
		return nil, fmt.Errorf("store %q: expected qdrant://host:6334/collection; the API key comes from QDRANT_API_KEY", u.Redacted())
	}
	shape, err := parseShape(u.Query())
	if err != nil {
		return nil, fmt.Errorf("store %s: %w", u.Redacted(), err)
	}
	port := 6334
	if p := u.Port(); p != "" {
		if port, err = strconv.Atoi(p); err != nil {
			return nil, fmt.Errorf("store %s: port %q is no number", u.Redacted(), p)
		}
	}
	opt.Retries, opt.Backoff, opt.Batch = cmp.Or(opt.Retries, 10), cmp.Or(opt.Backoff, 200*time.Millisecond), cmp.Or(opt.Batch, 1024)
	key := os.Getenv("QDRANT_API_KEY")
	if opt.KeyLookup != nil {
		key = opt.KeyLookup()
	}
	client, err := qdrant.NewClient(&qdrant.Config{Host: u.Hostname(), Port: port, APIKey: key, UseTLS: u.Scheme == "qdrants", TLSConfig: opt.TLS,
		PoolSize: opt.PoolSize, SkipCompatibilityCheck: true,
		RetryConfig: &qdrant.RetryConfig{MaxRetries: opt.Retries, BaseBackoff: opt.Backoff, MaxBackoff: 5 * time.Second},
		GrpcOptions: []grpc.DialOption{grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(qdrantMessage), grpc.MaxCallSendMsgSize(qdrantMessage))}})
	if err != nil {
		return nil, fmt.Errorf("store %s: %w", u.Redacted(), err)
	}
	u.RawQuery = ""
	q := &Qdrant{client: client, address: u.String(), collection: name, opt: opt, dim: dim, oversample: shape.oversampling}
	if err := q.prepare(ctx, model, shape); err != nil {
		client.Close()
		return nil, q.explain(err)
	}
	return q, nil
}

type collectionShape struct {
	shards, replicas uint32
	quantize         bool
	oversampling     float64
}

func parseShape(v url.Values) (s collectionShape, err error) {
	for key, list := range v {
		text := list[len(list)-1]
		switch key {
		case "shards", "replicas":
			n, err := strconv.ParseUint(text, 10, 16)
			if err != nil || n == 0 {
				return s, fmt.Errorf("%s=%s: expected a number from 1", key, text)
			}
			if key == "shards" {
				s.shards = uint32(n)
			} else {
				s.replicas = uint32(n)
			}
		case "quantize":
			if text != "int8" {
				return s, fmt.Errorf("quantize=%s: expected int8", text)
			}
			s.quantize = true
			s.oversampling = cmp.Or(s.oversampling, 2)
		case "oversampling":
			x, err := strconv.ParseFloat(text, 64)
			if err != nil || !(x >= 1 && x <= 100) {
				return s, fmt.Errorf("oversampling=%s: expected 1 to 100", text)
			}
			s.oversampling = x
		default:
			return s, fmt.Errorf("%s: expected shards, replicas, quantize or oversampling", key)
		}
	}
	return s, nil
}

// explain says what can be done about an error of the server.
func (q *Qdrant) explain(err error) error {
	switch status.Code(err) {
	case codes.Unavailable, codes.DeadlineExceeded:
		if strings.Contains(err.Error(), "authentication handshake failed") {
			return fmt.Errorf("%s: a server answers there, but TLS fails: use qdrant:// if it speaks none, else a certificate that this machine trusts: %w", q.address, err)
		}
		return fmt.Errorf("%s: no Qdrant answers there: start one or correct the address (docs/dedup.md says how); vectors already stored are kept, "+
			"the next run adds what is missing: %w", q.address, err)
	case codes.Unauthenticated, codes.PermissionDenied:
		return fmt.Errorf("%s: the server wants another API key: set QDRANT_API_KEY: %w", q.address, err)
	}
	return fmt.Errorf("%s: %w", q.address, err)
}

// prepare checks the collection or creates it, with indexes for the fields that filters use.
func (q *Qdrant) prepare(ctx context.Context, model string, shape collectionShape) error {
	exists, err := q.client.CollectionExists(ctx, q.collection)
	if err != nil {
		return err
	}
	if exists {
		return q.check(ctx, model)
	}
	vectors := &qdrant.VectorParams{Size: uint64(q.dim), Distance: qdrant.Distance_Cosine}
	c := &qdrant.CreateCollection{CollectionName: q.collection, VectorsConfig: qdrant.NewVectorsConfig(vectors),
		Metadata: qdrant.NewValueMap(map[string]any{modelField: model})}
	if shape.shards > 0 {
		c.ShardNumber = qdrant.PtrOf(shape.shards)
	}
	if shape.replicas > 0 {
		c.ReplicationFactor = qdrant.PtrOf(shape.replicas)
	}
	if shape.quantize {
		scalar := &qdrant.ScalarQuantization{Type: qdrant.QuantizationType_Int8, Quantile: qdrant.PtrOf(float32(0.99))}
		//lint:ignore SA1019 servers before 1.19 do not know what replaces always_ram
		scalar.AlwaysRam = qdrant.PtrOf(true)
		//lint:ignore SA1019 nor what replaces on_disk
		vectors.OnDisk = qdrant.PtrOf(true)
		c.QuantizationConfig = qdrant.NewQuantizationScalar(scalar)
	}
	if err := q.client.CreateCollection(ctx, c); err != nil && status.Code(err) != codes.AlreadyExists {
		return err
	}
	for field, kind := range map[string]qdrant.FieldType{fieldSplit: qdrant.FieldType_FieldTypeKeyword, fieldSet: qdrant.FieldType_FieldTypeKeyword,
		fieldLength: qdrant.FieldType_FieldTypeInteger} {
		if _, err := q.client.CreateFieldIndex(ctx, &qdrant.CreateFieldIndexCollection{CollectionName: q.collection, FieldName: field,
			FieldType: qdrant.PtrOf(kind), Wait: qdrant.PtrOf(true)}); err != nil {
			return err
		}
	}
	return q.check(ctx, model)
}

func (q *Qdrant) check(ctx context.Context, model string) error {
	info, err := q.client.GetCollectionInfo(ctx, q.collection)
	if err != nil {
		return err
	}
	params := info.GetConfig().GetParams().GetVectorsConfig().GetParams()
	if params == nil {
		return fmt.Errorf("collection %s has named vectors, expected one unnamed vector a point", q.collection)
	}
	if int(params.GetSize()) != q.dim {
		return &MismatchError{q.address, "dimension", params.GetSize(), q.dim}
	}
	if params.GetDistance() != qdrant.Distance_Cosine {
		return &MismatchError{q.address, "distance", params.GetDistance(), qdrant.Distance_Cosine}
	}
	d := params.GetDatatype()
	q.floats = d == qdrant.Datatype_Default || d == qdrant.Datatype_Float32
	if has := info.GetConfig().GetMetadata()[modelField].GetStringValue(); has != model {
		if has == "" {
			has = "unknown"
		}
		return &MismatchError{q.address, "model", has, model}
	}
	if info.GetConfig().GetQuantizationConfig().GetScalar() != nil || params.GetQuantizationConfig().GetScalar() != nil {
		q.oversample = cmp.Or(q.oversample, 2)
	}
	return nil
}

// Name is the collection's address, without key and options.
func (q *Qdrant) Name() string { return q.address }

// Approximate tells that Query uses the server's graph.
func (q *Qdrant) Approximate() bool { return !q.opt.Exact }

// Close closes the connections.
func (q *Qdrant) Close() error { return q.client.Close() }

// Count is the exact number of points.
func (q *Qdrant) Count(ctx context.Context) (int, error) {
	n, err := q.client.Count(ctx, &qdrant.CountPoints{CollectionName: q.collection, Exact: qdrant.PtrOf(true)})
	if err != nil {
		return 0, q.explain(err)
	}
	return int(n), nil
}

// Vectors asks for the points' vectors. What a collection of someone's own keeps in fewer bits, or not of length 1, is not the vector
// that was computed: it counts as missing.
func (q *Qdrant) Vectors(ctx context.Context, ids []uint64) ([][]float32, error) {
	out := make([][]float32, len(ids))
	at := make(map[uint64][]int, len(ids))
	for i, id := range ids {
		at[id] = append(at[id], i)
	}
	for part := range slices.Chunk(ids, q.chunk()) {
		list := make([]*qdrant.PointId, len(part))
		for i, id := range part {
			list[i] = qdrant.NewIDNum(id)
		}
		points, err := q.client.Get(ctx, &qdrant.GetPoints{CollectionName: q.collection, Ids: list,
			WithPayload: qdrant.NewWithPayload(false), WithVectors: qdrant.NewWithVectors(q.floats)})
		if err != nil {
			return nil, q.explain(err)
		}
		for _, p := range points {
			if v := denseVector(p.GetVectors()); len(v) == q.dim && isUnit(v) {
				for _, i := range at[p.GetId().GetNum()] {
					out[i] = v
				}
			}
		}
	}
	return out, nil
}

func denseVector(v *qdrant.VectorsOutput) []float32 {
	if d := v.GetVector().GetDense(); d != nil {
		return d.GetData()
	}
	//lint:ignore SA1019 older servers send plain vectors in this field
	return v.GetVector().GetData()
}

func (q *Qdrant) chunk() int {
	return max(1, min(q.opt.Batch, qdrantSend/(4*q.dim+256)))
}

// Upsert sends batches and waits until the server has each on disk.
func (q *Qdrant) Upsert(ctx context.Context, points []Point) error {
	for part := range slices.Chunk(points, q.chunk()) {
		list := make([]*qdrant.PointStruct, len(part))
		for i, p := range part {
			if len(p.Vector) != q.dim {
				return &MismatchError{q.address, "dimension", q.dim, len(p.Vector)}
			}
			list[i] = &qdrant.PointStruct{Id: qdrant.NewIDNum(p.ID), Vectors: qdrant.NewVectorsDense(p.Vector),
				Payload: qdrant.NewValueMap(map[string]any{fieldSplit: p.Split, fieldLength: int64(p.Length), fieldSet: p.Set})}
		}
		if _, err := q.client.Upsert(ctx, &qdrant.UpsertPoints{CollectionName: q.collection, Points: list, Wait: qdrant.PtrOf(true)}); err != nil {
			return q.explain(err)
		}
	}
	return nil
}

// Query searches as the store was opened: exactly, or by the graph.
func (q *Qdrant) Query(ctx context.Context, vectors [][]float32, k int, f Filter) ([][]Neighbour, error) {
	return q.search(ctx, vectors, k, f, q.opt.Exact)
}

// Scan searches exactly: every vector, unquantised.
func (q *Qdrant) Scan(ctx context.Context, vectors [][]float32, k int, f Filter) ([][]Neighbour, error) {
	return q.search(ctx, vectors, k, f, true)
}

func (q *Qdrant) search(ctx context.Context, vectors [][]float32, k int, f Filter, exact bool) ([][]Neighbour, error) {
	params := &qdrant.SearchParams{Exact: qdrant.PtrOf(exact)}
	if exact {
		params.Quantization = &qdrant.QuantizationSearchParams{Ignore: qdrant.PtrOf(true)}
	} else if q.oversample > 0 {
		params.Quantization = &qdrant.QuantizationSearchParams{Rescore: qdrant.PtrOf(true), Oversampling: qdrant.PtrOf(q.oversample)}
	}
	filter := qdrantFilter(f)
	out := make([][]Neighbour, 0, len(vectors))
	for part := range slices.Chunk(vectors, q.chunk()) {
		queries := make([]*qdrant.QueryPoints, len(part))
		for i, v := range part {
			if len(v) != q.dim {
				return nil, &MismatchError{q.address, "dimension", q.dim, len(v)}
			}
			queries[i] = &qdrant.QueryPoints{CollectionName: q.collection, Query: qdrant.NewQueryDense(v), Filter: filter, Params: params,
				Limit: qdrant.PtrOf(uint64(k)), WithPayload: qdrant.NewWithPayload(false), WithVectors: qdrant.NewWithVectors(false)}
		}
		answers, err := q.client.QueryBatch(ctx, &qdrant.QueryBatchPoints{CollectionName: q.collection, QueryPoints: queries})
		if err != nil {
			return nil, q.explain(err)
		}
		if len(answers) != len(part) {
			return nil, fmt.Errorf("%s: %d answers to %d queries", q.address, len(answers), len(part))
		}
		for _, a := range answers {
			list := make([]Neighbour, 0, len(a.GetResult()))
			for _, p := range a.GetResult() {
				list = append(list, Neighbour{p.GetId().GetNum(), p.GetScore()})
			}
			slices.SortFunc(list, func(a, b Neighbour) int { return cmp.Or(cmp.Compare(b.Score, a.Score), cmp.Compare(a.ID, b.ID)) })
			out = append(out, list)
		}
	}
	return out, nil
}

func qdrantFilter(f Filter) *qdrant.Filter {
	var must []*qdrant.Condition
	if len(f.Splits) > 0 {
		must = append(must, qdrant.NewMatchKeywords(fieldSplit, f.Splits...))
	}
	if f.Set != "" {
		must = append(must, qdrant.NewMatchKeyword(fieldSet, f.Set))
	}
	if f.MinLength > 0 || f.MaxLength > 0 {
		r := &qdrant.Range{}
		if f.MinLength > 0 {
			r.Gte = qdrant.PtrOf(float64(f.MinLength))
		}
		if f.MaxLength > 0 {
			r.Lte = qdrant.PtrOf(float64(f.MaxLength))
		}
		must = append(must, qdrant.NewRange(fieldLength, r))
	}
	if len(must) == 0 {
		return nil
	}
	return &qdrant.Filter{Must: must}
}
