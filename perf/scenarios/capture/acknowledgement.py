"""A broker alone: how long one 4300-byte record takes to be acknowledged, with one on its way (librdkafka, ctypes).

usage: acknowledgement.py LIBRDKAFKA SECONDS HOST:PORT TOPIC
"""
import ctypes as C,time,sys,os
K=C.CDLL(sys.argv[1])
for f,r,a in [("rd_kafka_conf_new",C.c_void_p,[]),("rd_kafka_conf_set",C.c_int,[C.c_void_p,C.c_char_p,C.c_char_p,C.c_char_p,C.c_size_t]),
 ("rd_kafka_new",C.c_void_p,[C.c_int,C.c_void_p,C.c_char_p,C.c_size_t]),("rd_kafka_topic_new",C.c_void_p,[C.c_void_p,C.c_char_p,C.c_void_p]),
 ("rd_kafka_produce",C.c_int,[C.c_void_p,C.c_int32,C.c_int,C.c_void_p,C.c_size_t,C.c_void_p,C.c_size_t,C.c_void_p]),
 ("rd_kafka_conf_set_events",None,[C.c_void_p,C.c_int]),("rd_kafka_queue_get_main",C.c_void_p,[C.c_void_p]),
 ("rd_kafka_queue_poll",C.c_void_p,[C.c_void_p,C.c_int]),("rd_kafka_event_type",C.c_int,[C.c_void_p]),("rd_kafka_event_destroy",None,[C.c_void_p])]:
    g=getattr(K,f); g.restype=r; g.argtypes=a
conf=K.rd_kafka_conf_new(); e=C.create_string_buffer(512)
for k,v in {"bootstrap.servers":sys.argv[3],"enable.idempotence":"true","acks":"all","linger.ms":"0","partitioner":"murmur2_random"}.items():
    assert K.rd_kafka_conf_set(conf,k.encode(),v.encode(),e,512)==0,e.value
K.rd_kafka_conf_set_events(conf,1)
rk=K.rd_kafka_new(0,conf,e,512); assert rk,e.value
t=K.rd_kafka_topic_new(rk,sys.argv[4].encode(),None); q=K.rd_kafka_queue_get_main(rk)
body=C.create_string_buffer(b"x"*4300,4300); key=b"connection-key"
n=[]
end=time.time()+float(sys.argv[2])
while time.time()<end:
    s=time.perf_counter()
    K.rd_kafka_produce(t,-1,2,C.cast(body,C.c_void_p),4300,key,len(key),None)
    while True:
        ev=K.rd_kafka_queue_poll(q,1000)
        if ev:
            ty=K.rd_kafka_event_type(ev); K.rd_kafka_event_destroy(ev)
            if ty==1: break
    n.append(time.perf_counter()-s)
n=sorted(n[len(n)//10:]); print(f"ack alone {len(n)} p50 {n[len(n)//2]*1e6:.0f}us p99 {n[len(n)*99//100]*1e6:.0f}us",flush=True); os._exit(0)
