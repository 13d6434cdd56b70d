#!/bin/sh
# Answers every request with the time, the date and who answered. Settings come from the environment.
mkdir -p /srv/www/cgi-bin
cat >/srv/www/cgi-bin/index.cgi <<'A'
#!/bin/sh
printf 'Content-Type: text/plain\r\n\r\n%s from %s: it is %s\n' "$GREETING" "$HOSTNAME" "$(date)"
A
chmod 755 /srv/www/cgi-bin/index.cgi
echo "serving on port $PORT"
# The first process of a container gets SIGTERM only if it asks for it: without this, a deleted pod takes 30 seconds.
trap 'kill $!' TERM
httpd -f -p "$PORT" -h /srv/www &
wait $!
