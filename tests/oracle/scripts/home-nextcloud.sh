#!/bin/sh
# An application, its database and its cron job, which share an image and a volume.
set -eu
docker network create cloud >/dev/null
docker run -d --name cloud-db --network cloud --network-alias db -e MYSQL_DATABASE=cloud -v cloud-db:/var/lib/mysql alpine \
    sh -c 'while :; do echo ok | nc -l -p 3306; done' >/dev/null
docker run -d --name cloud-app --network cloud --link cloud-db:mysql -v cloud-html:/var/www/html alpine sleep 1000 >/dev/null
until docker exec cloud-app sh -c 'nc -w 5 db 3306 </dev/null' 2>/dev/null | grep ok; do sleep 0.1; done
docker exec cloud-app ping -c1 -w5 mysql | grep -c '1 packets received'
docker exec cloud-app sh -c 'mkdir /var/www/html/data && chown 1000:1000 /var/www/html/data'
docker exec -u 1000 cloud-app sh -c 'echo done >/var/www/html/data/cron.log'
docker run --rm -u 1000 --volumes-from cloud-app --network container:cloud-app alpine sh -c 'cat /var/www/html/data/cron.log; id -u'
docker exec -u 1001 cloud-app rm /var/www/html/data/cron.log 2>/dev/null || echo "not its owner"
docker exec --env MODE=maintenance cloud-app sh -c 'echo $MODE'
docker network inspect -f '{{len .Containers}}' cloud
docker stop -t 0 cloud-app cloud-db
docker start cloud-db cloud-app
docker exec cloud-app ping -c1 -w5 db | grep -c '1 packets received'
docker rm -f cloud-app cloud-db
docker network rm cloud
docker volume rm cloud-db cloud-html
