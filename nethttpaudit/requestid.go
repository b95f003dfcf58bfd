package nethttpaudit

import (
	"context"
	"net/http"
)

// RequestID takes the request's ID from f, which is asked with the audit's own
// context when an audit is made; "" is none. The last use of the option counts. It
// is for middleware that keeps the ID in the context, such as chi's:
//
//	nethttpaudit.RequestID(middleware.GetReqID)
//
// Without an ID from f it is the X-Request-ID which a middleware outside has put
// into the response, as those of echo and of gin-contrib/requestid do, because that
// stands in the logs; else the request's own.
func RequestID(f func(context.Context) string) Option {
	return func(s *settings) { s.requestID = f }
}

// idIn is the ID in a header that nobody else uses at the moment.
func idIn(header http.Header) string {
	if ids := header["X-Request-Id"]; len(ids) > 0 {
		return ids[0]
	}
	return ""
}

// requestID must be called without mu: f may ask the Origin for anything.
func (o *Origin) requestID(ctx context.Context) string {
	if f := o.adapter.settings.requestID; f != nil {
		if id := f(ctx); id != "" {
			return id
		}
	}
	return o.made
}
