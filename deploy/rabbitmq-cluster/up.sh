#!/bin/sh
# Start a RabbitMQ cluster with MQTT on this machine, to see what the loss of a node does.
#
#   up.sh FOLDER [NODES]      3 nodes, unless told otherwise
#   up.sh FOLDER start N...   start nodes again that were killed
#
# Everything lies in FOLDER; end it with down.sh FOLDER. Node N takes MQTT on 127.0.0.1, port
# MQTT_PORT + N (18830 + N); its process id is in FOLDER/N/pid. QUEUES says where results for an
# absent subscriber wait: "quorum" on a majority of nodes, "mirrored" on all of them, "classic"
# on the one node that the subscriber met first, which is what RabbitMQ does if not told otherwise.
# Needs rabbitmq-server 3.10, as Debian 12 has it.
set -eu

mkdir -p "$1"
folder=$(cd "$1" && pwd)
mqtt_port=${MQTT_PORT:-18830}
inner_port=${INNER_PORT:-18930} # of Erlang's port mapper; node N takes the N-th after it
queues=${QUEUES:-quorum}
bin=${RABBITMQ_BIN:-/usr/lib/rabbitmq/bin}

export HOME="$folder" ERL_EPMD_ADDRESS=127.0.0.1 ERL_EPMD_PORT="$inner_port"
export RABBITMQ_CONF_ENV_FILE=/dev/null RABBITMQ_ENABLED_PLUGINS_FILE="$folder/plugins"
export RABBITMQ_ADVANCED_CONFIG_FILE="$folder/advanced.config"

name() { echo "edge$1-$mqtt_port@localhost"; }

start() {
    home="$folder/$1"
    mkdir -p "$home"
    {
        echo "listeners.tcp = none"
        echo "mqtt.listeners.tcp.1 = 127.0.0.1:$((mqtt_port + $1))"
        echo "mqtt.allow_anonymous = true"
        echo "cluster_partition_handling = ${PARTITIONS:-pause_minority}"
        echo "cluster_formation.peer_discovery_backend = classic_config"
        for peer in $(seq "$(cat "$folder/nodes")"); do
            echo "cluster_formation.classic_config.nodes.$peer = $(name "$peer")"
        done
        echo "log.file = false"
        echo "log.console.level = warning"
    } >"$home/rabbitmq.conf"
    RABBITMQ_NODENAME=$(name "$1") RABBITMQ_DIST_PORT=$((inner_port + $1)) \
        RABBITMQ_MNESIA_BASE="$home/data" RABBITMQ_LOG_BASE="$home" \
        RABBITMQ_CONFIG_FILE="$home/rabbitmq.conf" RABBITMQ_PID_FILE="$home/pid" \
        setsid "$bin/rabbitmq-server" >>"$home/log" 2>&1 </dev/null &
}

control() {
    whom=$(name "$1")
    shift
    "$bin/rabbitmqctl" --quiet --node "$whom" "$@"
}

if [ "${2:-}" = start ]; then
    shift 2
    for node in "$@"; do
        rm -f "$folder/$node/pid"
        start "$node"
    done
    for node in "$@"; do control "$node" wait --timeout 90 "$folder/$node/pid" >/dev/null; done
    exit
fi

echo "${2:-3}" >"$folder/nodes"
echo "$inner_port" >"$folder/inner_port"
echo '[rabbitmq_mqtt].' >"$folder/plugins"
(umask 077 && head -c 20 /dev/urandom | od -An -tx1 | tr -d ' \n' >"$folder/.erlang.cookie")
if [ "$queues" = quorum ]; then
    echo '[{rabbitmq_mqtt, [{durable_queue_type, quorum}]}].' >"$folder/advanced.config"
else
    echo '[].' >"$folder/advanced.config"
fi
epmd -address 127.0.0.1 -port "$inner_port" -daemon
# One after the other: started together they may wait for each other in vain.
for node in $(seq "$(cat "$folder/nodes")"); do
    start "$node"
    control "$node" wait --timeout 120 "$folder/$node/pid" >/dev/null
    echo "node $node: mqtt://127.0.0.1:$((mqtt_port + node)), process $(cat "$folder/$node/pid")"
done
control 1 await_online_nodes --timeout 60 "$(cat "$folder/nodes")"
if [ "$queues" = mirrored ]; then
    control 1 set_policy --apply-to queues all '.*' '{"ha-mode":"all","ha-sync-mode":"automatic"}'
fi
