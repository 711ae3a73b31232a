BEGIN TRANSACTION;
CREATE TABLE account (
	login TEXT NOT NULL, 
	name TEXT NOT NULL, 
	body TEXT NOT NULL, 
	PRIMARY KEY (login), 
	UNIQUE (name)
);
CREATE TABLE audit (
	seq INTEGER NOT NULL, 
	kind TEXT NOT NULL, 
	PRIMARY KEY (seq)
);
INSERT INTO "audit" VALUES(23,'note');
CREATE TABLE call (
	"key" TEXT NOT NULL, 
	line TEXT NOT NULL, 
	state TEXT NOT NULL, 
	at BIGINT NOT NULL, 
	body TEXT NOT NULL, 
	PRIMARY KEY ("key")
);
CREATE TABLE correction (
	number INTEGER NOT NULL, 
	kind TEXT NOT NULL, 
	"key" TEXT NOT NULL, 
	person TEXT, 
	at BIGINT NOT NULL, 
	ended_at BIGINT, 
	body TEXT NOT NULL, 
	PRIMARY KEY (number)
);
CREATE TABLE history (
	number INTEGER NOT NULL, 
	opened_at BIGINT NOT NULL, 
	kind TEXT NOT NULL, 
	severity TEXT NOT NULL, 
	area TEXT, 
	hotline TEXT, 
	outcome TEXT, 
	complaint INTEGER NOT NULL, 
	PRIMARY KEY (number)
);
INSERT INTO "history" VALUES(100001,1795357325057942,'fall','critical','chaos',NULL,'helped',0);
INSERT INTO "history" VALUES(100002,1795357325083302,'sos','critical','chaos',NULL,'helped',0);
CREATE TABLE history_of (
	what TEXT NOT NULL, 
	number INTEGER NOT NULL, 
	PRIMARY KEY (what, number)
)
 WITHOUT ROWID

;
INSERT INTO "history_of" VALUES('device:w-000000',100001);
INSERT INTO "history_of" VALUES('device:w-000001',100002);
INSERT INTO "history_of" VALUES('owner:zhangmin',100001);
INSERT INTO "history_of" VALUES('owner:zhangmin',100002);
INSERT INTO "history_of" VALUES('person:pw-0',100001);
INSERT INTO "history_of" VALUES('person:pw-1',100002);
INSERT INTO "history_of" VALUES('responder:station-1',100001);
INSERT INTO "history_of" VALUES('responder:station-1',100002);
CREATE TABLE incident (
	number INTEGER NOT NULL, 
	state TEXT NOT NULL, 
	severity TEXT NOT NULL, 
	kind TEXT NOT NULL, 
	person TEXT, 
	opened_at BIGINT NOT NULL, 
	closed_at BIGINT, 
	next_at BIGINT, 
	body TEXT NOT NULL, 
	PRIMARY KEY (number)
);
INSERT INTO "incident" VALUES(100001,'closed','critical','fall','pw-0',1795357325057942,1795357325271796,NULL,'{"id":"I100001","key":"person:pw-0","kind":"fall","severity":"critical","state":"closed","opened_at":"2026-11-22T14:22:05.057942Z","changed_at":"2026-11-22T14:22:05.270533Z","last_event_at":"2026-11-22T14:22:05.057704Z","ts":1790000000000,"version":8,"person":"pw-0","area":"chaos","device":"w-000000","line":"wearables","position":{"lat":36.34,"lon":102.86,"fixed_at":"2026-11-22T14:22:05.057704Z"},"owner":"zhangmin","acknowledged_at":"2026-11-22T14:22:05.229618Z","resolved_at":"2026-11-22T14:22:05.264812Z","closed_at":"2026-11-22T14:22:05.271796Z","outcome":"helped","sources":[{"way":"device","of":"wearables","ref":"w-000000","at":"2026-11-22T14:22:05.057704Z"}],"stages":[{"name":"order","at":"2026-11-22T14:22:05.057942Z","evidence":"wearables"},{"name":"serve","at":"2026-11-22T14:22:05.264812Z","actor":"zhangmin","evidence":"outcome:helped"},{"name":"waive","at":"2026-11-22T14:22:05.271796Z","actor":"zhangmin","due":"2026-11-23T14:22:05.264812Z"}],"waived":"zhangmin: invented","tasks":["arrange_medical"],"legs":[{"delivery":"01a203a2b702725f90d1ac494299a902","responder":"station-1","channel":"mqtt","state":"withdrawn","ordered_at":"2026-11-22T14:22:05.057942Z","reply_by":"2026-11-23T00:22:05.057942Z","ts":1790000000000,"travel_min":0.0,"sent_at":"2026-11-22T14:22:05.084446Z","reason":"resolved"}]}');
INSERT INTO "incident" VALUES(100002,'closed','critical','sos','pw-1',1795357325083302,1795357325301106,NULL,'{"id":"I100002","key":"person:pw-1","kind":"sos","severity":"critical","state":"closed","opened_at":"2026-11-22T14:22:05.083302Z","changed_at":"2026-11-22T14:22:05.299858Z","last_event_at":"2026-11-22T14:22:05.082572Z","ts":1790000000001,"version":8,"person":"pw-1","area":"chaos","device":"w-000001","line":"wearables","position":{"lat":36.34,"lon":102.86,"fixed_at":"2026-11-22T14:22:05.082572Z"},"owner":"zhangmin","acknowledged_at":"2026-11-22T14:22:05.278282Z","resolved_at":"2026-11-22T14:22:05.281996Z","closed_at":"2026-11-22T14:22:05.301106Z","outcome":"helped","sources":[{"way":"device","of":"wearables","ref":"w-000001","at":"2026-11-22T14:22:05.082572Z"}],"stages":[{"name":"order","at":"2026-11-22T14:22:05.083302Z","evidence":"wearables"},{"name":"serve","at":"2026-11-22T14:22:05.281996Z","actor":"zhangmin","evidence":"outcome:helped"},{"name":"waive","at":"2026-11-22T14:22:05.301106Z","actor":"zhangmin","due":"2026-11-23T14:22:05.281996Z"}],"waived":"zhangmin: invented","legs":[{"delivery":"01a203a2b71b7490a972e0fb353bb2ca","responder":"station-1","channel":"mqtt","state":"withdrawn","ordered_at":"2026-11-22T14:22:05.083302Z","reply_by":"2026-11-23T00:22:05.083302Z","ts":1790000000001,"travel_min":0.0,"sent_at":"2026-11-22T14:22:05.085344Z","reason":"resolved"}]}');
INSERT INTO "incident" VALUES(100003,'raised','critical','fall','pw-2',1795357325191823,NULL,1795393325191823,'{"id":"I100003","key":"person:pw-2","kind":"fall","severity":"critical","state":"raised","opened_at":"2026-11-22T14:22:05.191823Z","changed_at":"2026-11-22T14:22:05.198556Z","last_event_at":"2026-11-22T14:22:05.111215Z","ts":1790000000002,"version":3,"person":"pw-2","area":"chaos","device":"w-000002","line":"wearables","position":{"lat":36.34,"lon":102.86,"fixed_at":"2026-11-22T14:22:05.111215Z"},"sources":[{"way":"device","of":"wearables","ref":"w-000002","at":"2026-11-22T14:22:05.111215Z"}],"stages":[{"name":"order","at":"2026-11-22T14:22:05.191823Z","evidence":"wearables"}],"tasks":["arrange_medical"],"legs":[{"delivery":"01a203a2b78875cbae06b808164ba67c","responder":"station-1","channel":"mqtt","state":"sent","ordered_at":"2026-11-22T14:22:05.191823Z","reply_by":"2026-11-23T00:22:05.191823Z","ts":1790000000002,"travel_min":0.0,"sent_at":"2026-11-22T14:22:05.198556Z"}],"deadlines":{"acknowledge":"2026-11-23T00:22:05.191823Z","reply:01a203a2b78875cbae06b808164ba67c":"2026-11-23T00:22:05.191823Z"}}');
INSERT INTO "incident" VALUES(100004,'raised','critical','sos','pw-3',1795357325197474,NULL,1795393325197474,'{"id":"I100004","key":"person:pw-3","kind":"sos","severity":"critical","state":"raised","opened_at":"2026-11-22T14:22:05.197474Z","changed_at":"2026-11-22T14:22:05.199419Z","last_event_at":"2026-11-22T14:22:05.116337Z","ts":1790000000003,"version":3,"person":"pw-3","area":"chaos","device":"w-000003","line":"wearables","position":{"lat":36.34,"lon":102.86,"fixed_at":"2026-11-22T14:22:05.116337Z"},"sources":[{"way":"device","of":"wearables","ref":"w-000003","at":"2026-11-22T14:22:05.116337Z"}],"stages":[{"name":"order","at":"2026-11-22T14:22:05.197474Z","evidence":"wearables"}],"legs":[{"delivery":"01a203a2b78d740fb7610a02816642b9","responder":"station-1","channel":"mqtt","state":"sent","ordered_at":"2026-11-22T14:22:05.197474Z","reply_by":"2026-11-23T00:22:05.197474Z","ts":1790000000003,"travel_min":0.0,"sent_at":"2026-11-22T14:22:05.199419Z"}],"deadlines":{"acknowledge":"2026-11-23T00:22:05.197474Z","reply:01a203a2b78d740fb7610a02816642b9":"2026-11-23T00:22:05.197474Z"}}');
INSERT INTO "incident" VALUES(100005,'raised','critical','fall','pw-4',1795357325197474,NULL,1795393325197474,'{"id":"I100005","key":"person:pw-4","kind":"fall","severity":"critical","state":"raised","opened_at":"2026-11-22T14:22:05.197474Z","changed_at":"2026-11-22T14:22:05.199425Z","last_event_at":"2026-11-22T14:22:05.121740Z","ts":1790000000004,"version":3,"person":"pw-4","area":"chaos","device":"w-000004","line":"wearables","position":{"lat":36.34,"lon":102.86,"fixed_at":"2026-11-22T14:22:05.121740Z"},"sources":[{"way":"device","of":"wearables","ref":"w-000004","at":"2026-11-22T14:22:05.121740Z"}],"stages":[{"name":"order","at":"2026-11-22T14:22:05.197474Z","evidence":"wearables"}],"tasks":["arrange_medical"],"legs":[{"delivery":"01a203a2b78e751b9892a02ab75f6529","responder":"station-1","channel":"mqtt","state":"sent","ordered_at":"2026-11-22T14:22:05.197474Z","reply_by":"2026-11-23T00:22:05.197474Z","ts":1790000000004,"travel_min":0.0,"sent_at":"2026-11-22T14:22:05.199425Z"}],"deadlines":{"acknowledge":"2026-11-23T00:22:05.197474Z","reply:01a203a2b78e751b9892a02ab75f6529":"2026-11-23T00:22:05.197474Z"}}');
INSERT INTO "incident" VALUES(100006,'raised','critical','sos','pw-5',1795357325197474,NULL,1795393325197474,'{"id":"I100006","key":"person:pw-5","kind":"sos","severity":"critical","state":"raised","opened_at":"2026-11-22T14:22:05.197474Z","changed_at":"2026-11-22T14:22:05.199429Z","last_event_at":"2026-11-22T14:22:05.127117Z","ts":1790000000005,"version":3,"person":"pw-5","area":"chaos","device":"w-000005","line":"wearables","position":{"lat":36.34,"lon":102.86,"fixed_at":"2026-11-22T14:22:05.127117Z"},"sources":[{"way":"device","of":"wearables","ref":"w-000005","at":"2026-11-22T14:22:05.127117Z"}],"stages":[{"name":"order","at":"2026-11-22T14:22:05.197474Z","evidence":"wearables"}],"legs":[{"delivery":"01a203a2b78e7761a6d0867cb33ca154","responder":"station-1","channel":"mqtt","state":"sent","ordered_at":"2026-11-22T14:22:05.197474Z","reply_by":"2026-11-23T00:22:05.197474Z","ts":1790000000005,"travel_min":0.0,"sent_at":"2026-11-22T14:22:05.199429Z"}],"deadlines":{"acknowledge":"2026-11-23T00:22:05.197474Z","reply:01a203a2b78e7761a6d0867cb33ca154":"2026-11-23T00:22:05.197474Z"}}');
CREATE TABLE journal (
	seq INTEGER NOT NULL, 
	at BIGINT NOT NULL, 
	kind TEXT NOT NULL, 
	phase TEXT NOT NULL, 
	line TEXT, 
	device TEXT, 
	dedup TEXT, 
	person TEXT, 
	incident TEXT, 
	actor TEXT, 
	facts TEXT NOT NULL, 
	raw BLOB NOT NULL, 
	digest BLOB NOT NULL, 
	chain BLOB NOT NULL, 
	PRIMARY KEY (seq)
);
INSERT INTO "journal" VALUES(1,1795357324981859,'started','state',NULL,NULL,NULL,NULL,NULL,NULL,'{"register":"dccd6cbfa6d7","district":"chaos"}',X'',X'57325E2605A9C0342849C6AC043ADCCB5C0113E0A70103362602B035B9A2A5B7',X'17705B9B943AF3C7E9978F90D1A457A13FFE1BBF9F307C894EF78370314E2AAB');
INSERT INTO "journal" VALUES(2,1795357325057704,'fall','raise','wearables','w-000000','wearables|w-000000:1:c9171a506a7b5590@1795357325057','pw-0','I100001',NULL,'{"kind":"fall","line":"wearables","received_at":"2026-11-22T14:22:05.057704Z","occurred_at":"2026-11-22T14:22:05.057704Z","device":"w-000000","dedup":"w-000000:1:c9171a506a7b5590@1795357325057","kind_raw":"fall","person":"pw-0","time_reason":"device_time_too_old","position":{"lat":36.34,"lon":102.86,"fixed_at":"2026-11-22T14:22:05.057704Z"},"battery_pct":50.0,"detail":{"ts":1790000000000,"device_time":"2026-09-21T14:13:20+00:00"}}',X'7B226B696E64223A202266616C6C222C20227473223A20313739303030303030303030302C2022736571223A20312C20226C6174223A2033362E33342C20226C6F6E223A203130322E38362C202262617474657279223A2035307D',X'121639BFB233C8E0B96BCEDF64659CA7B9B253B0D09C73CAB30066D1E112A5C9',X'5D4DCF27B04D50BD047297AFCD663B5243DD6A4DB59B15305E3DE13F6D116D83');
INSERT INTO "journal" VALUES(3,1795357325057942,'dispatch','state',NULL,NULL,NULL,'pw-0','I100001',NULL,'{"delivery":"01a203a2b702725f90d1ac494299a902","responder":"station-1","channel":"mqtt","decision":{"responder":"station-1","rule":"nearest","register":"dccd6cbfa6d7","at":"2026-11-22T14:22:05.057942Z","position":{"lat":36.34,"lon":102.86,"fixed_at":"2026-11-22T14:22:05.057704Z"},"travel_min":0.0,"candidates":[{"responder":"station-1","verdict":"chosen","km":0.0,"travel_min":0.0,"capacity":100000}],"data":"f6e02a737114","rules":"1-96cbbd2af461","travel":"straight_line","area":"chaos","need":{"kind":"fall","severity":"critical","at":"2026-11-22T14:22:05.057942Z","position":{"lat":36.34,"lon":102.86,"fixed_at":"2026-11-22T14:22:05.057704Z"},"area":"chaos","shared":true}}}',X'',X'871F7D9E56A58A17AF7B835975BEDAAEDBBBE8BDBC890CF5C7C572C156223024',X'2F971DA3B940116399842CCA4C7D53A13518ACD03E79BC7DE091D2E96B719B33');
INSERT INTO "journal" VALUES(4,1795357325057942,'remind','state',NULL,NULL,NULL,'pw-0','I100001',NULL,'{"reason":"no_medical","to":"desk","role":"medical","decision":{"responder":"desk","rule":"desk","register":"dccd6cbfa6d7","at":"2026-11-22T14:22:05.057942Z","position":{"lat":36.34,"lon":102.86,"fixed_at":"2026-11-22T14:22:05.057704Z"},"candidates":[{"responder":"centre","verdict":"not_capable","km":2.856,"travel_min":5.6,"capacity":100000},{"responder":"station-1","verdict":"not_capable","km":0.0,"travel_min":0.0},{"responder":"desk","verdict":"chosen"}],"data":"f6e02a737114","rules":"1-96cbbd2af461","travel":"straight_line","area":"chaos","beyond":true,"need":{"kind":"fall","severity":"critical","at":"2026-11-22T14:22:05.057942Z","role":"medical","position":{"lat":36.34,"lon":102.86,"fixed_at":"2026-11-22T14:22:05.057704Z"},"area":"chaos","asked":["station-1"]}}}',X'',X'EC42616AB874A299B2BE811EB306F1E30ED1C7AC5B7609A8DAD95AF34F29D1DC',X'95D4D8009561D0A95F39AB20A05514E34F06C6F897B7EDC37EF1B895075F9DC0');
INSERT INTO "journal" VALUES(5,1795357325082572,'sos','raise','wearables','w-000001','wearables|w-000001:2:cbf4a30c6a2a26df@1795357325082','pw-1','I100002',NULL,'{"kind":"sos","line":"wearables","received_at":"2026-11-22T14:22:05.082572Z","occurred_at":"2026-11-22T14:22:05.082572Z","device":"w-000001","dedup":"w-000001:2:cbf4a30c6a2a26df@1795357325082","kind_raw":"sos","person":"pw-1","time_reason":"device_time_too_old","position":{"lat":36.34,"lon":102.86,"fixed_at":"2026-11-22T14:22:05.082572Z"},"battery_pct":50.0,"detail":{"ts":1790000000001,"device_time":"2026-09-21T14:13:20.001000+00:00"}}',X'7B226B696E64223A2022736F73222C20227473223A20313739303030303030303030312C2022736571223A20322C20226C6174223A2033362E33342C20226C6F6E223A203130322E38362C202262617474657279223A2035307D',X'C9A7A4B1F67BF9BEDAAEAB5E33875205E654372240B4E7D19E93F60635E912A0',X'1601A0628198B458E0E075222B90BDB9644EAC0768D98FFA874350CD790C23BF');
INSERT INTO "journal" VALUES(6,1795357325083302,'dispatch','state',NULL,NULL,NULL,'pw-1','I100002',NULL,'{"delivery":"01a203a2b71b7490a972e0fb353bb2ca","responder":"station-1","channel":"mqtt","decision":{"responder":"station-1","rule":"nearest","register":"dccd6cbfa6d7","at":"2026-11-22T14:22:05.083302Z","position":{"lat":36.34,"lon":102.86,"fixed_at":"2026-11-22T14:22:05.082572Z"},"travel_min":0.0,"candidates":[{"responder":"station-1","verdict":"chosen","km":0.0,"travel_min":0.0,"load":1,"capacity":100000}],"data":"f6e02a737114","rules":"1-96cbbd2af461","travel":"straight_line","area":"chaos","need":{"kind":"sos","severity":"critical","at":"2026-11-22T14:22:05.083302Z","position":{"lat":36.34,"lon":102.86,"fixed_at":"2026-11-22T14:22:05.082572Z"},"area":"chaos"}}}',X'',X'BE3BFBC2EBF0A5687A5A97A567852CBB38D04D8CB0CE7BD86947249081D17F4F',X'04477EBC2FBB500D17146557B12DB1E4B0CC80BA8624BAB0DB7F4013E0B7FA44');
INSERT INTO "journal" VALUES(7,1795357325084446,'sent','state',NULL,NULL,NULL,'pw-0','I100001',NULL,'{"delivery":"01a203a2b702725f90d1ac494299a902","responder":"station-1","repeat":0}',X'',X'7B8ED46F3B08EBEAD24450A4D5280846714ECEB0AFB9D73E8593600E203371CF',X'A3B84031AF65B6C8B895572BDEB84E13A862A25F1E21689BAC8F0D11010BDA8A');
INSERT INTO "journal" VALUES(8,1795357325085344,'sent','state',NULL,NULL,NULL,'pw-1','I100002',NULL,'{"delivery":"01a203a2b71b7490a972e0fb353bb2ca","responder":"station-1","repeat":0}',X'',X'7E1CBAB4BE402126925B95DBC21263CA216589A0AB3EA0E9F6A0A82E6B122099',X'B923C24830C46AF537426D601050027EB2544C729EB7DB5D169251518EC4C315');
INSERT INTO "journal" VALUES(9,1795357325111215,'fall','raise','wearables','w-000002','wearables|w-000002:3:a828dbee781cbfd0@1795357325111','pw-2','I100003',NULL,'{"kind":"fall","line":"wearables","received_at":"2026-11-22T14:22:05.111215Z","occurred_at":"2026-11-22T14:22:05.111215Z","device":"w-000002","dedup":"w-000002:3:a828dbee781cbfd0@1795357325111","kind_raw":"fall","person":"pw-2","time_reason":"device_time_too_old","position":{"lat":36.34,"lon":102.86,"fixed_at":"2026-11-22T14:22:05.111215Z"},"battery_pct":50.0,"detail":{"ts":1790000000002,"device_time":"2026-09-21T14:13:20.002000+00:00"}}',X'7B226B696E64223A202266616C6C222C20227473223A20313739303030303030303030322C2022736571223A20332C20226C6174223A2033362E33342C20226C6F6E223A203130322E38362C202262617474657279223A2035307D',X'66FAEAD3AC680BC9A3924B3AF302BE365B4A50D0F280A8D08CCAE0F905BE2D50',X'1762EBDA2B5A6D89602BE04FD3557848E6E1E80DFB1F1362452FF486AA0C71F5');
INSERT INTO "journal" VALUES(10,1795357325191823,'dispatch','state',NULL,NULL,NULL,'pw-2','I100003',NULL,'{"delivery":"01a203a2b78875cbae06b808164ba67c","responder":"station-1","channel":"mqtt","decision":{"responder":"station-1","rule":"nearest","register":"dccd6cbfa6d7","at":"2026-11-22T14:22:05.191823Z","position":{"lat":36.34,"lon":102.86,"fixed_at":"2026-11-22T14:22:05.111215Z"},"travel_min":0.0,"candidates":[{"responder":"station-1","verdict":"chosen","km":0.0,"travel_min":0.0,"load":2,"capacity":100000}],"data":"f6e02a737114","rules":"1-96cbbd2af461","travel":"straight_line","area":"chaos","need":{"kind":"fall","severity":"critical","at":"2026-11-22T14:22:05.191823Z","position":{"lat":36.34,"lon":102.86,"fixed_at":"2026-11-22T14:22:05.111215Z"},"area":"chaos","shared":true}}}',X'',X'A0743B119CD93ADFA16D56F7C9F4D1A18A7903EB47E114F191E463751209E487',X'80E1FF697B9D76A33E3305A8101A803FEF91D891ECBB79C5242930099ACBEDA8');
INSERT INTO "journal" VALUES(11,1795357325191823,'remind','state',NULL,NULL,NULL,'pw-2','I100003',NULL,'{"reason":"no_medical","to":"desk","role":"medical","decision":{"responder":"desk","rule":"desk","register":"dccd6cbfa6d7","at":"2026-11-22T14:22:05.191823Z","position":{"lat":36.34,"lon":102.86,"fixed_at":"2026-11-22T14:22:05.111215Z"},"candidates":[{"responder":"centre","verdict":"not_capable","km":2.856,"travel_min":5.6,"capacity":100000},{"responder":"station-1","verdict":"not_capable","km":0.0,"travel_min":0.0},{"responder":"desk","verdict":"chosen"}],"data":"f6e02a737114","rules":"1-96cbbd2af461","travel":"straight_line","area":"chaos","beyond":true,"need":{"kind":"fall","severity":"critical","at":"2026-11-22T14:22:05.191823Z","role":"medical","position":{"lat":36.34,"lon":102.86,"fixed_at":"2026-11-22T14:22:05.111215Z"},"area":"chaos","asked":["station-1"]}}}',X'',X'9527056A77E8543B7A4FAB82CF2C18209539EC13755E0357675CD8EC285E49F8',X'3CA4FD00ED35A85A8CA02A8C3743A1BB24A70511E84D2F454528C5FE2B382E2F');
INSERT INTO "journal" VALUES(12,1795357325116337,'sos','raise','wearables','w-000003','wearables|w-000003:4:fea2f09ca3572e6d@1795357325116','pw-3','I100004',NULL,'{"kind":"sos","line":"wearables","received_at":"2026-11-22T14:22:05.116337Z","occurred_at":"2026-11-22T14:22:05.116337Z","device":"w-000003","dedup":"w-000003:4:fea2f09ca3572e6d@1795357325116","kind_raw":"sos","person":"pw-3","time_reason":"device_time_too_old","position":{"lat":36.34,"lon":102.86,"fixed_at":"2026-11-22T14:22:05.116337Z"},"battery_pct":50.0,"detail":{"ts":1790000000003,"device_time":"2026-09-21T14:13:20.003000+00:00"}}',X'7B226B696E64223A2022736F73222C20227473223A20313739303030303030303030332C2022736571223A20342C20226C6174223A2033362E33342C20226C6F6E223A203130322E38362C202262617474657279223A2035307D',X'753CD776081DDC80D5E317D2F8B4407E6E1E9D3E47471A95F06584017D3AD76B',X'0E1B15BBF1B1DC1B17F05B35E687103F3D5554A8776C484AA505215848FFC64B');
INSERT INTO "journal" VALUES(13,1795357325197474,'dispatch','state',NULL,NULL,NULL,'pw-3','I100004',NULL,'{"delivery":"01a203a2b78d740fb7610a02816642b9","responder":"station-1","channel":"mqtt","decision":{"responder":"station-1","rule":"nearest","register":"dccd6cbfa6d7","at":"2026-11-22T14:22:05.197474Z","position":{"lat":36.34,"lon":102.86,"fixed_at":"2026-11-22T14:22:05.116337Z"},"travel_min":0.0,"candidates":[{"responder":"station-1","verdict":"chosen","km":0.0,"travel_min":0.0,"load":3,"capacity":100000}],"data":"f6e02a737114","rules":"1-96cbbd2af461","travel":"straight_line","area":"chaos","need":{"kind":"sos","severity":"critical","at":"2026-11-22T14:22:05.197474Z","position":{"lat":36.34,"lon":102.86,"fixed_at":"2026-11-22T14:22:05.116337Z"},"area":"chaos"}}}',X'',X'FAC10EDFE4C2A0B33B2A14E99A7E58EBB3BBE6B38F44BFBECC2341538DF48A24',X'E44E14CA4ABE3A2B51C66C72896495724252C0FE3BA7514A1B0EA7998E676CD7');
INSERT INTO "journal" VALUES(14,1795357325121740,'fall','raise','wearables','w-000004','wearables|w-000004:5:3b32c97e81b01194@1795357325121','pw-4','I100005',NULL,'{"kind":"fall","line":"wearables","received_at":"2026-11-22T14:22:05.121740Z","occurred_at":"2026-11-22T14:22:05.121740Z","device":"w-000004","dedup":"w-000004:5:3b32c97e81b01194@1795357325121","kind_raw":"fall","person":"pw-4","time_reason":"device_time_too_old","position":{"lat":36.34,"lon":102.86,"fixed_at":"2026-11-22T14:22:05.121740Z"},"battery_pct":50.0,"detail":{"ts":1790000000004,"device_time":"2026-09-21T14:13:20.004000+00:00"}}',X'7B226B696E64223A202266616C6C222C20227473223A20313739303030303030303030342C2022736571223A20352C20226C6174223A2033362E33342C20226C6F6E223A203130322E38362C202262617474657279223A2035307D',X'B5C1F1083C968BB5292158F4032EEF1141DC0B4454324BDFE64423860D3D76CD',X'D231DBAA8BA99F694E112B39F480F8A3BDBA844BF9D8D237771B4638AD684B40');
INSERT INTO "journal" VALUES(15,1795357325197474,'dispatch','state',NULL,NULL,NULL,'pw-4','I100005',NULL,'{"delivery":"01a203a2b78e751b9892a02ab75f6529","responder":"station-1","channel":"mqtt","decision":{"responder":"station-1","rule":"nearest","register":"dccd6cbfa6d7","at":"2026-11-22T14:22:05.197474Z","position":{"lat":36.34,"lon":102.86,"fixed_at":"2026-11-22T14:22:05.121740Z"},"travel_min":0.0,"candidates":[{"responder":"station-1","verdict":"chosen","km":0.0,"travel_min":0.0,"load":4,"capacity":100000}],"data":"f6e02a737114","rules":"1-96cbbd2af461","travel":"straight_line","area":"chaos","need":{"kind":"fall","severity":"critical","at":"2026-11-22T14:22:05.197474Z","position":{"lat":36.34,"lon":102.86,"fixed_at":"2026-11-22T14:22:05.121740Z"},"area":"chaos","shared":true}}}',X'',X'AA1E5F4EE482162835BF597F682F9FC1CCA40E053AC7812436A9AF30196EC702',X'884E4F05F6F8A26E0D9F617E7957294CF7996EC5C0CBC3CF36C523F647FC67B2');
INSERT INTO "journal" VALUES(16,1795357325197474,'remind','state',NULL,NULL,NULL,'pw-4','I100005',NULL,'{"reason":"no_medical","to":"desk","role":"medical","decision":{"responder":"desk","rule":"desk","register":"dccd6cbfa6d7","at":"2026-11-22T14:22:05.197474Z","position":{"lat":36.34,"lon":102.86,"fixed_at":"2026-11-22T14:22:05.121740Z"},"candidates":[{"responder":"centre","verdict":"not_capable","km":2.856,"travel_min":5.6,"capacity":100000},{"responder":"station-1","verdict":"not_capable","km":0.0,"travel_min":0.0},{"responder":"desk","verdict":"chosen"}],"data":"f6e02a737114","rules":"1-96cbbd2af461","travel":"straight_line","area":"chaos","beyond":true,"need":{"kind":"fall","severity":"critical","at":"2026-11-22T14:22:05.197474Z","role":"medical","position":{"lat":36.34,"lon":102.86,"fixed_at":"2026-11-22T14:22:05.121740Z"},"area":"chaos","asked":["station-1"]}}}',X'',X'15615018F356C6AF57E07C2A7E93AF7DB740FFB0EE276A4391493E17AB437E83',X'F45BE8FF80A06858E5F638A1C7E79F19C842BC0671D432365FBA1AEB2FAD3269');
INSERT INTO "journal" VALUES(17,1795357325127117,'sos','raise','wearables','w-000005','wearables|w-000005:6:d268c653eb6144e8@1795357325127','pw-5','I100006',NULL,'{"kind":"sos","line":"wearables","received_at":"2026-11-22T14:22:05.127117Z","occurred_at":"2026-11-22T14:22:05.127117Z","device":"w-000005","dedup":"w-000005:6:d268c653eb6144e8@1795357325127","kind_raw":"sos","person":"pw-5","time_reason":"device_time_too_old","position":{"lat":36.34,"lon":102.86,"fixed_at":"2026-11-22T14:22:05.127117Z"},"battery_pct":50.0,"detail":{"ts":1790000000005,"device_time":"2026-09-21T14:13:20.005000+00:00"}}',X'7B226B696E64223A2022736F73222C20227473223A20313739303030303030303030352C2022736571223A20362C20226C6174223A2033362E33342C20226C6F6E223A203130322E38362C202262617474657279223A2035307D',X'282CD21B491D9D36B9E38A95A97C3B9409F174B4A36A775F51FADD9C7DE6A9A6',X'E5C1B0198252892DD231D3CC2BACF3E9D1A7D09D9589F44A47CDBC8105739501');
INSERT INTO "journal" VALUES(18,1795357325197474,'dispatch','state',NULL,NULL,NULL,'pw-5','I100006',NULL,'{"delivery":"01a203a2b78e7761a6d0867cb33ca154","responder":"station-1","channel":"mqtt","decision":{"responder":"station-1","rule":"nearest","register":"dccd6cbfa6d7","at":"2026-11-22T14:22:05.197474Z","position":{"lat":36.34,"lon":102.86,"fixed_at":"2026-11-22T14:22:05.127117Z"},"travel_min":0.0,"candidates":[{"responder":"station-1","verdict":"chosen","km":0.0,"travel_min":0.0,"load":5,"capacity":100000}],"data":"f6e02a737114","rules":"1-96cbbd2af461","travel":"straight_line","area":"chaos","need":{"kind":"sos","severity":"critical","at":"2026-11-22T14:22:05.197474Z","position":{"lat":36.34,"lon":102.86,"fixed_at":"2026-11-22T14:22:05.127117Z"},"area":"chaos"}}}',X'',X'768D55E77FA120B89D66B569E57AB40AAEA6FD32E5D00BFED95EA97EE9E5DC67',X'281E2C748776F03DF794A7C22CE6DCB06A357F91F70E96E9D245DFB2B48C4485');
INSERT INTO "journal" VALUES(19,1795357325198556,'sent','state',NULL,NULL,NULL,'pw-2','I100003',NULL,'{"delivery":"01a203a2b78875cbae06b808164ba67c","responder":"station-1","repeat":0}',X'',X'B3331223F9CE6A5AF0E1A9F9DF95DB3B27C3CD5C0019ED917CD791F86F4DC5F6',X'184D68D5836FF8E6BB85CB334770F71A8CDE17B4AF0FAE38554643A08366E913');
INSERT INTO "journal" VALUES(20,1795357325199419,'sent','state',NULL,NULL,NULL,'pw-3','I100004',NULL,'{"delivery":"01a203a2b78d740fb7610a02816642b9","responder":"station-1","repeat":0}',X'',X'A0519B0A8E3F29CECC145F0EC06D3068D054719664D9D21C7B04BF3B0CDC3BC8',X'1E94E82F895426B3D567700F953DAE5560FF833751732703DD2D03D95561850A');
INSERT INTO "journal" VALUES(21,1795357325199425,'sent','state',NULL,NULL,NULL,'pw-4','I100005',NULL,'{"delivery":"01a203a2b78e751b9892a02ab75f6529","responder":"station-1","repeat":0}',X'',X'4B6BA8A470808C565572E2853CC919D41436AF388CCC04C657817F79F76A8DB7',X'61F3EBD984E24D7FB07C569058911ECD0D7A554772B7AAF9E91B33AA914AA7D7');
INSERT INTO "journal" VALUES(22,1795357325199429,'sent','state',NULL,NULL,NULL,'pw-5','I100006',NULL,'{"delivery":"01a203a2b78e7761a6d0867cb33ca154","responder":"station-1","repeat":0}',X'',X'05C0797C731522EF7E0B7D5314D3C02001CA2DDB2B1DD8C28FA9511AE13FE91D',X'F70CC8F5BADC81857DA3302A5C20A8A9FF5043B883F9333008062C70F5B71122');
INSERT INTO "journal" VALUES(23,1795357325226161,'note','state',NULL,NULL,NULL,NULL,NULL,'zhangmin','{"duty":true,"verified":false}',X'',X'208D6060E9CC54BBC80180A6B6FA5110A4A840F8AB68623E0343A5A1A27F48E3',X'DFC93C22257535A18C718DF9FA225A3F584B81990723E5F5D424286473DDF9D7');
INSERT INTO "journal" VALUES(24,1795357325229618,'acknowledge','state',NULL,NULL,'command|zhangmin|I100001|acknowledge|I100001acknowledge0','pw-0','I100001','zhangmin','{}',X'',X'6C4A3CD7E08F4BA8839EE6D077894ABBF87DF171713F1CB37BE2E4057546515F',X'C369A481E7F285340DFE7F029660540847FAFC0C14C2FD1292D7A7DCBC0216F7');
INSERT INTO "journal" VALUES(25,1795357325264812,'resolve','state',NULL,NULL,'command|zhangmin|I100001|resolve|I100001resolve2','pw-0','I100001','zhangmin','{"outcome":"helped","override":"invented"}',X'',X'E52FB603480CFCCADF3CE72A4C78FBCDCEFCB8C3BF6219A10E9CEE5EE1854E8B',X'B5D6C3F3602B87A982B1AE6DA584C2F7502FD1605129D3E0F0D4E16AD3E67E03');
INSERT INTO "journal" VALUES(26,1795357325271796,'waive','state',NULL,NULL,'command|zhangmin|I100001|waive|I100001waive1','pw-0','I100001','zhangmin','{"reason":"invented"}',X'',X'144F6DFC9ADB842D6B34D8F21FF0AB2D4D5763D1E973E82D6366742B085F7902',X'21DBD4290D523876458218BE23EEDB5385D8FD41B65E04A2721A271ED4A85BF5');
INSERT INTO "journal" VALUES(27,1795357325278282,'acknowledge','state',NULL,NULL,'command|zhangmin|I100002|acknowledge|I100002acknowledge0','pw-1','I100002','zhangmin','{}',X'',X'585896F9BBAB6E6E6E128C25FCC2856D700D3E6F7CB9A28CE062BB4F28F3D160',X'38AE3B9AC3D7F6B1BC90C1E21D3F302514DBFCD19C83E6E3D10CC6257B3C1D1E');
INSERT INTO "journal" VALUES(28,1795357325281996,'resolve','state',NULL,NULL,'command|zhangmin|I100002|resolve|I100002resolve2','pw-1','I100002','zhangmin','{"outcome":"helped","override":"invented"}',X'',X'E677E553D0FBF9EAD6C656B9A621E92A2D19EE66319F84372850E7E0422B7E7D',X'5B5A64245BC4603741DCF8529835435B4FD2302CCAEE752164AE62D91C67F471');
INSERT INTO "journal" VALUES(29,1795357325270533,'sent','state',NULL,NULL,NULL,'pw-0','I100001',NULL,'{"delivery":"01a203a2b702725f90d1ac494299a902","responder":"station-1","notice":"withdrawn"}',X'',X'5C4E0EFC66C15B10CAF1F369B30A19F1D53E3949FCDB70A76E7DD1A5D0E299B6',X'F2827250D63D0C3DA8E5247864466B0C3A282B9C92242EF8D533D69D8D59A0F0');
INSERT INTO "journal" VALUES(30,1795357325301106,'waive','state',NULL,NULL,'command|zhangmin|I100002|waive|I100002waive1','pw-1','I100002','zhangmin','{"reason":"invented"}',X'',X'FDD9FC85A0F77EC4DDD4BA79C0160FD6EDDEDAC321175FDC04E28C947CDE4D4C',X'775672B67558701D8695C212784F82081EF03194B82CB082C5BB9BE87FB1A7ED');
INSERT INTO "journal" VALUES(31,1795357325299858,'sent','state',NULL,NULL,NULL,'pw-1','I100002',NULL,'{"delivery":"01a203a2b71b7490a972e0fb353bb2ca","responder":"station-1","notice":"withdrawn"}',X'',X'21BDA5010B9E166AC155DEA5180FEE7417AD48BA4900C4D72B5D1E30BD90F6F5',X'D5FEDB6180B5E3BF308E4412752B491BABE5A4EB72734FA23590666D71766757');
CREATE TABLE last_seen (
	device TEXT NOT NULL, 
	at BIGINT NOT NULL, 
	body TEXT NOT NULL, 
	PRIMARY KEY (device)
);
INSERT INTO "last_seen" VALUES('wearables|w-000000',1795357325057704,'{"at":"2026-11-22T14:22:05.057704Z","position":{"lat":36.34,"lon":102.86,"fixed_at":"2026-11-22T14:22:05.057704Z"},"battery_pct":50.0,"edges":[["cried",true,"2026-11-22T14:22:05.057704Z"]]}');
INSERT INTO "last_seen" VALUES('person:pw-0',1795357325057704,'{"at":"2026-11-22T14:22:05.057704Z","position":{"lat":36.34,"lon":102.86,"fixed_at":"2026-11-22T14:22:05.057704Z"}}');
INSERT INTO "last_seen" VALUES('wearables|w-000001',1795357325082572,'{"at":"2026-11-22T14:22:05.082572Z","position":{"lat":36.34,"lon":102.86,"fixed_at":"2026-11-22T14:22:05.082572Z"},"battery_pct":50.0,"edges":[["cried",true,"2026-11-22T14:22:05.082572Z"]]}');
INSERT INTO "last_seen" VALUES('person:pw-1',1795357325082572,'{"at":"2026-11-22T14:22:05.082572Z","position":{"lat":36.34,"lon":102.86,"fixed_at":"2026-11-22T14:22:05.082572Z"}}');
INSERT INTO "last_seen" VALUES('wearables|w-000002',1795357325111215,'{"at":"2026-11-22T14:22:05.111215Z","position":{"lat":36.34,"lon":102.86,"fixed_at":"2026-11-22T14:22:05.111215Z"},"battery_pct":50.0,"edges":[["cried",true,"2026-11-22T14:22:05.111215Z"]]}');
INSERT INTO "last_seen" VALUES('person:pw-2',1795357325111215,'{"at":"2026-11-22T14:22:05.111215Z","position":{"lat":36.34,"lon":102.86,"fixed_at":"2026-11-22T14:22:05.111215Z"}}');
INSERT INTO "last_seen" VALUES('wearables|w-000003',1795357325116337,'{"at":"2026-11-22T14:22:05.116337Z","position":{"lat":36.34,"lon":102.86,"fixed_at":"2026-11-22T14:22:05.116337Z"},"battery_pct":50.0,"edges":[["cried",true,"2026-11-22T14:22:05.116337Z"]]}');
INSERT INTO "last_seen" VALUES('person:pw-3',1795357325116337,'{"at":"2026-11-22T14:22:05.116337Z","position":{"lat":36.34,"lon":102.86,"fixed_at":"2026-11-22T14:22:05.116337Z"}}');
INSERT INTO "last_seen" VALUES('wearables|w-000004',1795357325121740,'{"at":"2026-11-22T14:22:05.121740Z","position":{"lat":36.34,"lon":102.86,"fixed_at":"2026-11-22T14:22:05.121740Z"},"battery_pct":50.0,"edges":[["cried",true,"2026-11-22T14:22:05.121740Z"]]}');
INSERT INTO "last_seen" VALUES('person:pw-4',1795357325121740,'{"at":"2026-11-22T14:22:05.121740Z","position":{"lat":36.34,"lon":102.86,"fixed_at":"2026-11-22T14:22:05.121740Z"}}');
INSERT INTO "last_seen" VALUES('wearables|w-000005',1795357325127117,'{"at":"2026-11-22T14:22:05.127117Z","position":{"lat":36.34,"lon":102.86,"fixed_at":"2026-11-22T14:22:05.127117Z"},"battery_pct":50.0,"edges":[["cried",true,"2026-11-22T14:22:05.127117Z"]]}');
INSERT INTO "last_seen" VALUES('person:pw-5',1795357325127117,'{"at":"2026-11-22T14:22:05.127117Z","position":{"lat":36.34,"lon":102.86,"fixed_at":"2026-11-22T14:22:05.127117Z"}}');
CREATE TABLE meta (
	name TEXT NOT NULL, 
	value TEXT NOT NULL, 
	PRIMARY KEY (name)
);
INSERT INTO "meta" VALUES('schema','3');
INSERT INTO "meta" VALUES('audit','all');
INSERT INTO "meta" VALUES('history','all');
CREATE TABLE rejected (
	id INTEGER NOT NULL, 
	at BIGINT NOT NULL, 
	line TEXT NOT NULL, 
	reason TEXT NOT NULL, 
	device TEXT, 
	detail TEXT NOT NULL, 
	raw BLOB NOT NULL, 
	PRIMARY KEY (id)
);
INSERT INTO "rejected" VALUES(1,1795357325306487,'wearables','unknown_kind','w-000007','kind is missing or no text',X'7B7D');
INSERT INTO "rejected" VALUES(2,1795357325313028,'wearables','unknown_kind','w-000007','kind is missing or no text',X'7B7D');
CREATE TABLE report_cursor (
	name TEXT NOT NULL, 
	seq BIGINT NOT NULL, 
	number BIGINT NOT NULL, 
	at BIGINT NOT NULL, 
	PRIMARY KEY (name)
);
CREATE TABLE report_day (
	name TEXT NOT NULL, 
	day TEXT NOT NULL, 
	body TEXT NOT NULL, 
	PRIMARY KEY (name, day)
);
CREATE TABLE report_outbox (
	name TEXT NOT NULL, 
	first INTEGER NOT NULL, 
	last BIGINT NOT NULL, 
	day TEXT NOT NULL, 
	seq BIGINT NOT NULL, 
	at_from BIGINT NOT NULL, 
	at_to BIGINT NOT NULL, 
	sent_at BIGINT, 
	lines BLOB NOT NULL, 
	PRIMARY KEY (name, first)
);
CREATE TABLE routing_data (
	version TEXT NOT NULL, 
	at BIGINT NOT NULL, 
	body BLOB NOT NULL, 
	PRIMARY KEY (version)
);
INSERT INTO "routing_data" VALUES('f6e02a737114',1795357324809744,X'789CDD91D16E83300C45FFC5CF19A28521C6AF4C154A49242242C2E2F4A1AAF8F71902B4EABA3175D3B42D4FB1635FDF139F803BC9118AE713482DA42BB1A60C14E6A0350325A080AAE6168141A3CC100A85DEA9CA5346730F4592454946776BA0D8C4DB28CF1918DE92065049476AC607BD7EC7C049ECACA1416126178232186A672B54B69702671315EF78A5FC71901F0E1B1C1923F5E0CD1AB45A52F3E87EE9A9EDC14DAA238390D85C208448F3FD28329384D611245C5B2B268CDB4014D5D64C0FD828AD27FBD84929CAA6ADC9F36314F7ECEBA4ED8BF7AB98155973F2EDAECAE5E19AF9D6F63EC29EFF6E1D3C8D7F101C3DF7CA9A87CD997D4ABDC39C5E32672BCCCBEFFDB275CFD4DB7BA89FFE3874F259E8FC3FAD3ABD87FABB57BDEB5F01D8C8E2EB');
INSERT INTO "routing_data" VALUES('1-96cbbd2af461',1795357324809744,X'7B22636972636C655F6D696E223A31352C22657175616C5F6D696E223A302E352C226465746F7572223A312E332C22666F6F745F6B6D68223A342E352C2262696379636C655F6B6D68223A31342C226361725F6B6D68223A33302C22727573685F686F757273223A5B2230373A30302D30393A3030222C2231373A30302D31393A3030225D2C22727573685F666163746F72223A302E362C226E696768745F686F757273223A2232323A30302D30363A3030222C226E696768745F666163746F72223A312E332C226E65696768626F75725F6B6D223A312C22736572766963655F77697468696E5F6D696E223A36302C22736572766963655F73636F72655F7368617265223A302E372C22756E677261646564223A302E352C22726F616473223A7B2274696C6573223A22222C2263656C6C5F6D223A3230302C2272656163685F6D696E223A33307D7D');
CREATE TABLE session (
	id TEXT NOT NULL, 
	login TEXT NOT NULL, 
	until BIGINT NOT NULL, 
	body TEXT NOT NULL, 
	PRIMARY KEY (id)
);
CREATE TABLE standing (
	"key" TEXT NOT NULL, 
	at BIGINT NOT NULL, 
	body TEXT NOT NULL, 
	PRIMARY KEY ("key")
);
CREATE INDEX journal_incident ON journal (incident, seq);
CREATE UNIQUE INDEX journal_dedup ON journal (dedup) WHERE dedup IS NOT NULL;
CREATE INDEX report_outbox_day ON report_outbox (name, day);
CREATE INDEX audit_kind ON audit (kind, seq);
CREATE INDEX history_complaint ON history (number) WHERE complaint = 1;
CREATE INDEX history_kind ON history (kind, number);
CREATE INDEX history_area ON history (area, number);
CREATE INDEX history_outcome ON history (outcome, number);
CREATE INDEX history_opened ON history (opened_at, number);
CREATE INDEX correction_record ON correction (kind, "key");
COMMIT;
