//! What to change, in the words of the servers and proxies that are met most.

pub(super) const CONDITIONS: &str = "the server, or what stands between, does not heed this header, so one who saves overwrites what others \
    have saved: let the proxy pass If-Match, If-None-Match and If-Unmodified-Since on, and keep shared work on a server that heeds them";

pub(super) const REFUSES_RIGHT: &str = "a right condition is refused: the ETag was changed on the way, or the server compares it with \
    something else; no compression between (nginx: gzip off; Apache: DeflateAlterETag NoChange)";

pub(super) const STATE_LISTS: &str = "the server, or what stands between, does not heed the If header of WebDAV (RFC 4918 §10.4): let the \
    proxy pass If on; if only the forms with a URL fail, the server does not see the host and scheme that clients use (nginx: proxy_set_header \
    Host $http_host; Apache: ProxyPreserveHost On)";

pub(super) const TAGS: &str = "without a strong, unchanged ETag nobody can say which version he replaces: no compression or rewriting \
    between (nginx: gzip off, which makes ETags weak; Apache: DeflateAlterETag NoChange; Caddy: no encode; Traefik: no compress middleware)";

pub(super) const TAG_OF_VERSIONS: &str = "the ETag is made of the size and of whole seconds: two versions in one second have the same, and \
    the loss is not seen; take a server whose ETags tell versions apart";

pub(super) const COMPRESSION: &str = "leave compression off for this location: nginx: gzip off; Apache: SetEnv no-gzip 1 or DeflateAlterETag \
    NoChange; Caddy: no encode; Traefik: no compress middleware; Cloudflare: Cache-Control: no-transform";

pub(super) const METHODS: &str = "let the method through: in the proxy (Apache <Limit>, nginx limit_except, the rules of a web application \
    firewall, allowed_methods of ModSecurity), or switch it on in the server";

pub(super) const REFERENCES: &str = "the server does not see the URL that clients use: pass the host on (nginx: proxy_set_header Host \
    $http_host; Apache: ProxyPreserveHost On), X-Forwarded-Proto, and the same path on both sides of the proxy";

pub(super) const DESTINATION: &str = "the server does not take the Destination that clients send: pass the host on (nginx: proxy_set_header \
    Host $http_host); where TLS ends in the proxy: Apache: RequestHeader edit Destination ^https http early; keep the same path on both sides";

pub(super) const OVERWRITE: &str =
    "the Overwrite header is not heeded, so a COPY or MOVE replaces what it must not: let the proxy pass it on";

pub(super) const DEPTH: &str = "let the proxy pass the Depth header on";

pub(super) const CHUNKED: &str = "macOS and many programs send uploads without a length: nginx: proxy_http_version 1.1 and \
    proxy_request_buffering off (or on, if the server behind cannot); Apache: SetEnv proxy-sendcl 1; lighttpd: server.stream-request-body 0";

pub(super) const EXPECT: &str = "the proxy answers Expect: 100-continue by itself or swallows it, so refused uploads are sent in full: \
    nginx: proxy_request_buffering off; HAProxy: no option http-buffer-request";

pub(super) const LARGE: &str = "raise the limit for bodies: nginx: client_max_body_size 0; Apache: LimitRequestBody 0; Caddy: request_body \
    max_size; Traefik: no buffering middleware; Cloudflare takes 100 MB at most; also the room for temporary files of the proxy";

pub(super) const SLOW: &str = "let slow uploads live: nginx: client_body_timeout, proxy_read_timeout; Apache: RequestReadTimeout body=0; \
    HAProxy: timeout http-request counts the head alone without option http-buffer-request";

pub(super) const ATOMIC: &str = "the server writes into the file while the upload arrives, so one that breaks off leaves half a file: let a \
    proxy buffer uploads whole (nginx: proxy_request_buffering on), or take a server that swaps the file in one step";

pub(super) const CONTENT_RANGE: &str = "a part of a file is taken for the whole: the server has to refuse a PUT with Content-Range that it \
    cannot do (RFC 9110 §14.5)";

pub(super) const RANGES: &str = "let Range and If-Range through, and no compression between: nginx: proxy_force_ranges on for servers that do \
    not say Accept-Ranges";

pub(super) const NAMES: &str = "names are decoded on the way and not encoded again: nginx: proxy_pass without a path behind the host; Apache: \
    ProxyPass … nocanon and AllowEncodedSlashes NoDecode; no merging of slashes";

pub(super) const SLASHES: &str = "%2F becomes a slash on the way, so that one file is taken for another: Apache: AllowEncodedSlashes NoDecode \
    and ProxyPass … nocanon; nginx: proxy_pass without a path behind the host";

pub(super) const CLOCK: &str =
    "set the clocks by NTP: dates decide conditions (If-Unmodified-Since), locks and what sync programs take for newer";

pub(super) const KEEP_ALIVE: &str =
    "keep connections open (nginx: keepalive_timeout; Apache: KeepAlive On): every request pays for a new one";

pub(super) const FRAMING: &str = "the answer is framed wrongly, which proxies and clients do not survive (RFC 9112 §6)";

pub(super) const CACHE: &str = "a cache stands between and hands out old versions: leave this location out of it (nginx: proxy_cache off; \
    Varnish: return (pass); Cloudflare: bypass)";
