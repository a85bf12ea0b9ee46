#!/bin/sh
# A mail server with host name, domain, ulimits, several ports, and a volume for its spool.
set -eu
docker run -d --name mail --hostname mail --domainname example.org -p 0.0.0.0:2525:25 -p 127.0.0.1:1143:143/tcp -p 0.0.0.0:5353:53/udp \
    --ulimit nofile=1024:2048 -v spool:/var/spool/mail --tmpfs /tmp:size=1m --add-host relay:192.0.2.25 alpine sleep 1000 >/dev/null
docker exec mail hostname
docker exec mail sh -c 'ulimit -Hn'
docker exec mail grep relay /etc/hosts
docker exec mail sh -c 'grep -c "mail.example.org" /etc/hosts'
docker exec -u 1234:1234 mail id -u
docker port mail | sort
docker exec mail sh -c 'echo Subject: hi >/var/spool/mail/app'
docker run --rm --volumes-from mail alpine cat /var/spool/mail/app
docker inspect -f '{{.Config.Hostname}} {{.Config.Domainname}}' mail
docker exec mail df -k /tmp | awk 'NR == 2 {print $2}'
docker rm -f mail && docker volume rm spool
