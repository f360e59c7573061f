#!/usr/bin/env bash
# Starts one peer over a folder, in the foreground, on a loopback port: as its package sets it up where that concerns the log (nginx and
# Apache write one line a request, lighttpd none, dufs one to its standard output), and otherwise as a race needs it: connections that are
# kept for ever, writes and WebDAV allowed, nobody asked who they are. nginx also remembers open files for a minute, which its package leaves off.
#
#   benches/peer.sh nginx|apache|lighttpd|dufs FOLDER PORT
#
# Debian: nginx-light libnginx-mod-http-dav-ext apache2 lighttpd lighttpd-mod-webdav. dufs: cargo install dufs.
set -euo pipefail
peer=$1 folder=$(realpath "$2") port=$3
state=$(mktemp -d "/tmp/race-$peer.XXXX")
mkdir "$state/body" "$state/locks"
chmod 755 "$state"

case $peer in
nginx)
    chown -R www-data "$state/body" "$folder"
    cat >"$state/conf" <<CONF
load_module /usr/lib/nginx/modules/ngx_http_dav_ext_module.so;
user www-data; worker_processes auto; daemon off; pid $state/pid; error_log $state/error.log;
events { worker_connections 4096; }
http {
    include /etc/nginx/mime.types; default_type application/octet-stream;
    access_log $state/access.log; sendfile on; tcp_nopush on; keepalive_requests 1000000000;
    open_file_cache max=20000 inactive=60s; open_file_cache_valid 60s;
    client_body_temp_path $state/body; client_max_body_size 0; dav_ext_lock_zone zone=locks:10m;
    server {
        listen 127.0.0.1:$port reuseport; root $folder; autoindex on;
        location / { dav_methods PUT DELETE MKCOL COPY MOVE; dav_ext_methods PROPFIND OPTIONS LOCK UNLOCK; dav_ext_lock zone=locks; }
    }
}
CONF
    exec /usr/sbin/nginx -c "$state/conf"
    ;;
apache)
    chown -R www-data "$state/locks" "$folder"
    modules=$(for module in mpm_event authz_core mime dir autoindex dav dav_fs; do
        echo "LoadModule ${module}_module /usr/lib/apache2/modules/mod_$module.so"
    done)
    cat >"$state/conf" <<CONF
ServerRoot $state
ServerName localhost
PidFile $state/pid
Listen 127.0.0.1:$port
$modules
TypesConfig /etc/mime.types
User www-data
Group www-data
DocumentRoot $folder
DavLockDB $state/locks/db
ErrorLog $state/error.log
LogFormat "%h %l %u %t \"%r\" %>s %O \"%{Referer}i\" \"%{User-Agent}i\"" combined
CustomLog $state/access.log combined
MaxKeepAliveRequests 0
LimitXMLRequestBody 0
<Directory $folder>
    Require all granted
    Options Indexes
    Dav On
    DavDepthInfinity on
</Directory>
CONF
    exec /usr/sbin/apache2 -d "$state" -f "$state/conf" -DFOREGROUND
    ;;
lighttpd)
    cat >"$state/conf" <<CONF
server.modules = ("mod_webdav", "mod_dirlisting", "mod_staticfile")
server.document-root = "$folder"
server.bind = "127.0.0.1"
server.port = $port
server.errorlog = "$state/error.log"
server.upload-dirs = ("$state/body")
server.max-keep-alive-requests = 1000000000
dir-listing.activate = "enable"
mimetype.assign = ("" => "application/octet-stream")
webdav.activate = "enable"
webdav.sqlite-db-name = "$state/locks/db"
webdav.opts = ("propfind-depth-infinity" => "enable")
CONF
    exec /usr/sbin/lighttpd -D -f "$state/conf"
    ;;
dufs)
    exec "${DUFS:-dufs}" -A -b 127.0.0.1 -p "$port" "$folder" >"$state/access.log"
    ;;
*)
    echo "no such peer: $peer" >&2
    exit 2
    ;;
esac
