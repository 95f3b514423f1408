// Package qdranttest is a double of a Qdrant server, in memory, built on the server stubs of Qdrant's own client. Tests of
// the Qdrant store run against it; its scores and filters are held equal to those of qdrant-client's local mode by
// goldens. It can demand a key, speak TLS, stop in the middle of a run and come back with its points.
//
// It owns what a server would do with the calls that the store makes, and refuses the others. It must not know the store.
package qdranttest

import (
	"context"
	"crypto/tls"
	"fmt"
	"math"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/qdrant/go-client/qdrant"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// Options shape a server.
type Options struct {
	APIKey string      // demanded of every call
	TLS    *tls.Config // nil: plain text
}

// Server is the double. Its fields count what it served.
type Server struct {
	Addr string // host:port

	opt     Options
	mu      sync.Mutex
	grpc    *grpc.Server
	all     map[string]*collection
	calls   map[string]int
	failIn  int // calls until the next ones fail; negative: never
	failFor int // how many calls fail
}

type collection struct {
	create *qdrant.CreateCollection
	points map[uint64]*point
	index  map[string]qdrant.FieldType
}

type point struct {
	id      uint64
	vector  []float32 // of length 1
	payload map[string]*qdrant.Value
}

// Start serves on a free port of this machine until the test ends.
func Start(t testing.TB, opt Options) *Server {
	t.Helper()
	s := &Server{opt: opt, all: map[string]*collection{}, calls: map[string]int{}, failIn: -1, Addr: "127.0.0.1:0"}
	if err := s.Resume(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	return s
}

// Stop breaks every connection, as a server that dies does. The points stay.
func (s *Server) Stop() {
	s.mu.Lock()
	g := s.grpc
	s.grpc = nil
	s.mu.Unlock()
	if g != nil {
		g.Stop()
	}
}

// Resume serves again on the same port.
func (s *Server) Resume() error {
	l, err := net.Listen("tcp", s.Addr)
	if err != nil {
		return err
	}
	s.Addr = l.Addr().String()
	var opts []grpc.ServerOption
	if s.opt.TLS != nil {
		opts = append(opts, grpc.Creds(credentials.NewTLS(s.opt.TLS)))
	}
	// Go's server by itself hangs up on a client that pings every ten seconds, as Qdrant's does; Qdrant's server lets it.
	pings := keepalive.EnforcementPolicy{MinTime: time.Second, PermitWithoutStream: true}
	opts = append(opts, grpc.MaxRecvMsgSize(32<<20), grpc.UnaryInterceptor(s.intercept), grpc.KeepaliveEnforcementPolicy(pings))
	g := grpc.NewServer(opts...)
	qdrant.RegisterQdrantServer(g, health{})
	qdrant.RegisterCollectionsServer(g, &collections{s: s})
	qdrant.RegisterPointsServer(g, &points{s: s})
	s.mu.Lock()
	s.grpc = g
	s.mu.Unlock()
	go g.Serve(l) // Stop makes it return an error of no interest
	return nil
}

// FailCalls lets n calls through and then answers the next ones as an overloaded server does.
func (s *Server) FailCalls(after, count int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failIn, s.failFor = after, count
}

// Calls is how often a method ("Upsert", "QueryBatch" ...) was called.
func (s *Server) Calls(method string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls[method]
}

// Created returns the request that made a collection.
func (s *Server) Created(name string) *qdrant.CreateCollection {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.all[name]; c != nil {
		return c.create
	}
	return nil
}

// Indexes returns the payload indexes of a collection.
func (s *Server) Indexes(name string) map[string]qdrant.FieldType {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := map[string]qdrant.FieldType{}
	for k, v := range s.all[name].index {
		out[k] = v
	}
	return out
}

func (s *Server) intercept(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	if s.opt.APIKey != "" {
		md, _ := metadata.FromIncomingContext(ctx)
		if keys := md.Get("api-key"); len(keys) != 1 || keys[0] != s.opt.APIKey {
			return nil, status.Error(codes.PermissionDenied, "invalid api-key")
		}
	}
	s.mu.Lock()
	method := info.FullMethod
	for i := len(method) - 1; i >= 0; i-- {
		if method[i] == '/' {
			method = method[i+1:]
			break
		}
	}
	s.calls[method]++
	fail := false
	if s.failIn == 0 && s.failFor > 0 {
		s.failFor--
		fail = true
	} else if s.failIn > 0 {
		s.failIn--
	}
	s.mu.Unlock()
	if fail {
		return nil, status.Error(codes.Unavailable, "the double was told to fail")
	}
	return handler(ctx, req)
}

type health struct {
	qdrant.UnimplementedQdrantServer
}

func (health) HealthCheck(context.Context, *qdrant.HealthCheckRequest) (*qdrant.HealthCheckReply, error) {
	return &qdrant.HealthCheckReply{Title: "double", Version: "1.19.0"}, nil
}

type collections struct {
	qdrant.UnimplementedCollectionsServer
	s *Server
}

func (c *collections) CollectionExists(_ context.Context, r *qdrant.CollectionExistsRequest) (*qdrant.CollectionExistsResponse, error) {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	return &qdrant.CollectionExistsResponse{Result: &qdrant.CollectionExists{Exists: c.s.all[r.GetCollectionName()] != nil}}, nil
}

func (c *collections) Create(_ context.Context, r *qdrant.CreateCollection) (*qdrant.CollectionOperationResponse, error) {
	p := r.GetVectorsConfig().GetParams()
	if p.GetSize() == 0 || p.GetDistance() != qdrant.Distance_Cosine {
		return nil, status.Error(codes.Unimplemented, "the double knows one unnamed vector with cosine distance")
	}
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	if c.s.all[r.GetCollectionName()] != nil {
		return nil, status.Errorf(codes.AlreadyExists, "Collection `%s` already exists!", r.GetCollectionName())
	}
	c.s.all[r.GetCollectionName()] = &collection{create: r, points: map[uint64]*point{}, index: map[string]qdrant.FieldType{}}
	return &qdrant.CollectionOperationResponse{Result: true}, nil
}

func (c *collections) Delete(_ context.Context, r *qdrant.DeleteCollection) (*qdrant.CollectionOperationResponse, error) {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	_, ok := c.s.all[r.GetCollectionName()]
	delete(c.s.all, r.GetCollectionName())
	return &qdrant.CollectionOperationResponse{Result: ok}, nil
}

func (c *collections) Get(_ context.Context, r *qdrant.GetCollectionInfoRequest) (*qdrant.GetCollectionInfoResponse, error) {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	x := c.s.all[r.GetCollectionName()]
	if x == nil {
		return nil, notFound(r.GetCollectionName())
	}
	n := uint64(len(x.points))
	return &qdrant.GetCollectionInfoResponse{Result: &qdrant.CollectionInfo{Status: qdrant.CollectionStatus_Green, PointsCount: &n,
		Config: &qdrant.CollectionConfig{Params: &qdrant.CollectionParams{VectorsConfig: x.create.GetVectorsConfig(), ShardNumber: max(x.create.GetShardNumber(), 1)},
			QuantizationConfig: x.create.GetQuantizationConfig(), Metadata: x.create.GetMetadata()}}}, nil
}

func notFound(name string) error {
	return status.Errorf(codes.NotFound, "Not found: Collection `%s` doesn't exist!", name)
}

type points struct {
	qdrant.UnimplementedPointsServer
	s *Server
}

// with calls f on a collection, alone.
func (p *points) with(name string, f func(*collection) error) error {
	p.s.mu.Lock()
	defer p.s.mu.Unlock()
	c := p.s.all[name]
	if c == nil {
		return notFound(name)
	}
	return f(c)
}

func done() *qdrant.PointsOperationResponse {
	return &qdrant.PointsOperationResponse{Result: &qdrant.UpdateResult{Status: qdrant.UpdateStatus_Completed}}
}

func (p *points) CreateFieldIndex(_ context.Context, r *qdrant.CreateFieldIndexCollection) (*qdrant.PointsOperationResponse, error) {
	return done(), p.with(r.GetCollectionName(), func(c *collection) error {
		c.index[r.GetFieldName()] = r.GetFieldType()
		return nil
	})
}

func (p *points) Upsert(_ context.Context, r *qdrant.UpsertPoints) (*qdrant.PointsOperationResponse, error) {
	return done(), p.with(r.GetCollectionName(), func(c *collection) error {
		dim := int(c.create.GetVectorsConfig().GetParams().GetSize())
		var fresh []*point
		for _, x := range r.GetPoints() {
			v := dense(x.GetVectors().GetVector())
			if len(v) != dim {
				return status.Errorf(codes.InvalidArgument, "Wrong input: Vector dimension error: expected dim: %d, got %d", dim, len(v))
			}
			if _, ok := x.GetId().GetPointIdOptions().(*qdrant.PointId_Num); !ok {
				return status.Error(codes.Unimplemented, "the double knows numeric ids")
			}
			fresh = append(fresh, &point{x.GetId().GetNum(), unit(v), x.GetPayload()})
		}
		for _, x := range fresh { // all or none
			c.points[x.id] = x
		}
		return nil
	})
}

func dense(v *qdrant.Vector) []float32 {
	if d := v.GetDense(); d != nil {
		return d.GetData()
	}
	//lint:ignore SA1019 older clients send plain vectors in this field
	return v.GetData()
}

func unit(v []float32) []float32 {
	var s float64
	for _, x := range v {
		s += float64(x) * float64(x)
	}
	out := slices.Clone(v)
	if s > 0 && math.Abs(s-1) > 1e-6 { // a server leaves alone what has length 1 up to rounding
		k := 1 / math.Sqrt(s)
		for i := range out {
			out[i] = float32(float64(out[i]) * k)
		}
	}
	return out
}

func (p *points) Get(_ context.Context, r *qdrant.GetPoints) (*qdrant.GetResponse, error) {
	out := &qdrant.GetResponse{}
	return out, p.with(r.GetCollectionName(), func(c *collection) error {
		for _, id := range r.GetIds() {
			if x := c.points[id.GetNum()]; x != nil {
				p := &qdrant.RetrievedPoint{Id: qdrant.NewIDNum(x.id)}
				if r.GetWithVectors().GetEnable() {
					p.Vectors = &qdrant.VectorsOutput{VectorsOptions: &qdrant.VectorsOutput_Vector{Vector: &qdrant.VectorOutput{
						Vector: &qdrant.VectorOutput_Dense{Dense: &qdrant.DenseVector{Data: slices.Clone(x.vector)}}}}}
				}
				out.Result = append(out.Result, p)
			}
		}
		return nil
	})
}

func (p *points) Count(_ context.Context, r *qdrant.CountPoints) (*qdrant.CountResponse, error) {
	out := &qdrant.CountResponse{Result: &qdrant.CountResult{}}
	return out, p.with(r.GetCollectionName(), func(c *collection) error {
		for _, x := range c.points {
			ok, err := passes(r.GetFilter(), x)
			if err != nil {
				return err
			}
			if ok {
				out.Result.Count++
			}
		}
		return nil
	})
}

func (p *points) QueryBatch(_ context.Context, r *qdrant.QueryBatchPoints) (*qdrant.QueryBatchResponse, error) {
	out := &qdrant.QueryBatchResponse{}
	return out, p.with(r.GetCollectionName(), func(c *collection) error {
		for _, q := range r.GetQueryPoints() {
			list, err := c.search(q)
			if err != nil {
				return err
			}
			out.Result = append(out.Result, &qdrant.BatchResult{Result: list})
		}
		return nil
	})
}

// search scores every point that passes the filter: the double's graph is a scan.
func (c *collection) search(q *qdrant.QueryPoints) ([]*qdrant.ScoredPoint, error) {
	vector := q.GetQuery().GetNearest().GetDense().GetData()
	if dim := c.create.GetVectorsConfig().GetParams().GetSize(); len(vector) != int(dim) {
		return nil, status.Errorf(codes.InvalidArgument, "Wrong input: Vector dimension error: expected dim: %d, got %d", dim, len(vector))
	}
	if len(q.GetPrefetch()) > 0 || q.Offset != nil {
		return nil, status.Error(codes.Unimplemented, "the double knows plain nearest queries")
	}
	u := unit(vector)
	var out []*qdrant.ScoredPoint
	for _, x := range c.points {
		ok, err := passes(q.GetFilter(), x)
		if err != nil {
			return nil, err
		}
		if !ok {
			continue
		}
		var s float64
		for i, y := range x.vector {
			s += float64(u[i]) * float64(y)
		}
		if q.ScoreThreshold != nil && float32(s) < q.GetScoreThreshold() {
			continue
		}
		out = append(out, &qdrant.ScoredPoint{Id: qdrant.NewIDNum(x.id), Score: float32(s)})
	}
	slices.SortFunc(out, func(a, b *qdrant.ScoredPoint) int {
		if a.GetScore() != b.GetScore() {
			if a.GetScore() > b.GetScore() {
				return -1
			}
			return 1
		}
		if a.GetId().GetNum() < b.GetId().GetNum() {
			return -1
		}
		return 1
	})
	limit := uint64(10)
	if q.Limit != nil {
		limit = q.GetLimit()
	}
	return out[:min(uint64(len(out)), limit)], nil
}

// passes evaluates a filter of must, must_not and should over keyword, integer and range conditions.
func passes(f *qdrant.Filter, x *point) (bool, error) {
	if f == nil {
		return true, nil
	}
	for _, c := range f.GetMust() {
		if ok, err := holds(c, x); err != nil || !ok {
			return false, err
		}
	}
	for _, c := range f.GetMustNot() {
		if ok, err := holds(c, x); err != nil || ok {
			return false, err
		}
	}
	if len(f.GetShould()) == 0 {
		return true, nil
	}
	for _, c := range f.GetShould() {
		if ok, err := holds(c, x); err != nil || ok {
			return ok, err
		}
	}
	return false, nil
}

func holds(c *qdrant.Condition, x *point) (bool, error) {
	f := c.GetField()
	if f == nil {
		return false, status.Error(codes.Unimplemented, fmt.Sprintf("the double does not know the condition %v", c))
	}
	v := x.payload[f.GetKey()]
	if v == nil {
		return false, nil
	}
	if r := f.GetRange(); r != nil {
		var y float64
		switch k := v.GetKind().(type) {
		case *qdrant.Value_IntegerValue:
			y = float64(k.IntegerValue)
		case *qdrant.Value_DoubleValue:
			y = k.DoubleValue
		default:
			return false, nil
		}
		return (r.Gte == nil || y >= r.GetGte()) && (r.Lte == nil || y <= r.GetLte()) && (r.Gt == nil || y > r.GetGt()) && (r.Lt == nil || y < r.GetLt()), nil
	}
	s, isString := v.GetKind().(*qdrant.Value_StringValue)
	switch m := f.GetMatch().GetMatchValue().(type) {
	case *qdrant.Match_Keyword:
		return isString && s.StringValue == m.Keyword, nil
	case *qdrant.Match_Keywords:
		return isString && slices.Contains(m.Keywords.GetStrings(), s.StringValue), nil
	case *qdrant.Match_Integer:
		n, ok := v.GetKind().(*qdrant.Value_IntegerValue)
		return ok && n.IntegerValue == m.Integer, nil
	}
	return false, status.Error(codes.Unimplemented, fmt.Sprintf("the double does not know the match %v", f))
}
